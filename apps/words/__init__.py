"""Words: texts that find and edit pictures, by any CLIP-like pair of ONNX networks."""

from stylert.apps.words.pair import Pair
from stylert.apps.words.search import FoundPictures, SearchSettings, search_text

__all__ = ["FoundPictures", "Pair", "SearchSettings", "search_text"]
