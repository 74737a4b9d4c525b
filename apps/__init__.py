"""What is built on a generator: data sets, services, videos, benchmarks, clusters and checks."""
