"""The whole operator end to end: real images, a real node, real object storage. Started by ``make e2e``."""
