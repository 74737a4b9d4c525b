"""Export: from a checkpoint to a verified bundle. Needs torch and onnx.

    from stylert.export.checkpoints import read_checkpoint
    from stylert.export.bundle_writer import export_bundle

    report = export_bundle(read_checkpoint("ffhq.pkl"), "ffhq-bundle")

An export whose pictures differ too much is a `ParityError`, and leaves nothing behind.
"""

__all__: list[str] = []
