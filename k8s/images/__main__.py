"""``python -m k8s.images``: a line for each service, its name and its image."""

from k8s.images import names

for service, image in names().items():
    print(service, image)
