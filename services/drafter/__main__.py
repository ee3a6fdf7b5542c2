"""Serves a drafter: ``python -m services.drafter --model FOLDER``."""

from cascade.v1 import drafter_pb2, drafter_pb2_grpc, model_pb2

from services.drafter.servicer import DrafterServicer
from services.pod.main import main

if __name__ == "__main__":
    main(
        model_pb2.ROLE_DRAFTER,
        drafter_pb2.DESCRIPTOR.services_by_name["DrafterService"].full_name,
        lambda pod, server: drafter_pb2_grpc.add_DrafterServiceServicer_to_server(
            DrafterServicer(pod), server
        ),
    )
