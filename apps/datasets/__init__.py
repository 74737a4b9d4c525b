"""Data sets: the images of many seeds in a folder, a zip file or WebDataset shards.

Every image has a line in the manifest. A job that was stopped, even by a crash, goes on where it
was, and ends with the bytes that it would have had. One that was damaged is repaired to them.
"""

from stylert.apps.datasets.job import DatasetJob, StyleFile
from stylert.apps.datasets.opening import open_for_job
from stylert.apps.datasets.repair import open_as_drawn, repair_dataset
from stylert.apps.datasets.seeds import Seeds
from stylert.apps.datasets.verification import (
    DatasetReport,
    check_complete,
    holds_dataset,
    verify_dataset,
)
from stylert.apps.datasets.workers import open_for_workers
from stylert.apps.datasets.writing import DatasetResult, DatasetWriter, write_dataset

__all__ = ["DatasetJob", "DatasetReport", "DatasetResult", "DatasetWriter", "Seeds", "StyleFile"]
__all__ += ["check_complete", "holds_dataset", "open_as_drawn", "open_for_job", "open_for_workers"]
__all__ += ["repair_dataset", "verify_dataset", "write_dataset"]
