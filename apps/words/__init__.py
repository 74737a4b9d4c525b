"""Words: texts that find and edit pictures, by any CLIP-like pair of ONNX networks."""

from stylert.apps.words.channel_table import count_drawings, find_table, make_table
from stylert.apps.words.pair import Pair
from stylert.apps.words.sampled_table import find_sampled_table, sample_table
from stylert.apps.words.search import FoundPictures, SearchSettings, check_gradient, search_text
from stylert.apps.words.text_editing import find_channels, find_edits, find_text_direction

__all__ = ["FoundPictures", "Pair", "SearchSettings", "check_gradient", "count_drawings"]
__all__ += ["find_channels", "find_edits", "find_sampled_table", "find_table"]
__all__ += ["find_text_direction", "make_table", "sample_table", "search_text"]
