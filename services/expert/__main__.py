"""Serves an expert: ``python -m services.expert --model FOLDER``."""

from cascade.v1 import expert_pb2, expert_pb2_grpc, model_pb2

from services.expert.servicer import ExpertServicer
from services.pod.main import main

if __name__ == "__main__":
    main(
        model_pb2.ROLE_EXPERT,
        expert_pb2.DESCRIPTOR.services_by_name["ExpertService"].full_name,
        lambda pod, server: expert_pb2_grpc.add_ExpertServiceServicer_to_server(
            ExpertServicer(pod), server
        ),
    )
