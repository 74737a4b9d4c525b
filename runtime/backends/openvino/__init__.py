"""OpenVINO, on processors and on GPUs and NPUs of Intel. Loaded where it is used."""
