"""Words: texts that find and edit pictures, by any CLIP-like pair of ONNX networks."""

from stylert.apps.words.channel_table import count_drawings, find_table, make_table
from stylert.apps.words.pair import Pair
from stylert.apps.words.sampled_table import find_sampled_table, sample_table
from stylert.apps.words.search import FoundPictures, SearchSettings, search_text
from stylert.apps.words.text_editing import find_channels, find_edit, find_text_direction

__all__ = ["FoundPictures", "Pair", "SearchSettings", "count_drawings", "find_channels"]
__all__ += ["find_edit", "find_sampled_table", "find_table", "find_text_direction", "make_table"]
__all__ += ["sample_table", "search_text"]
