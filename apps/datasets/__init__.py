"""Data sets: the images of many seeds in a folder, a zip file or WebDataset shards.

Every image has a line in the manifest. A job that was stopped, even by a crash, goes on where it
was, and ends with the bytes that it would have had.
"""

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.seeds import Seeds
from stylert.apps.datasets.style_file import StyleFile
from stylert.apps.datasets.writing import DatasetResult, DatasetWriter, write_dataset

__all__ = ["DatasetJob", "DatasetResult", "DatasetWriter", "Seeds", "StyleFile", "write_dataset"]
