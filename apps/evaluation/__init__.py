"""Evaluation: how good a generator is, and how much its deployment changed it.

    network = open_network()
    with stylert.open("bundle") as generator:
        drawn = extract_drawn(generator, job, network, folder)
        data = extract_data(open_data("pictures", generator.spec), network, folder)
        print(evaluate(drawn, data, network).figures["fid"].value)

The figures are those of the field, computed with NumPy from features that any ONNX network gives.
"""

from stylert.apps.evaluation.data_pictures import DataPictures, open_data
from stylert.apps.evaluation.default_network import open_network
from stylert.apps.evaluation.drift import Drawer, Drift, GeneratorDrawer, measure_drift
from stylert.apps.evaluation.evaluation import (
    METRICS,
    Evaluation,
    check_classes,
    check_counts,
    check_features,
    evaluate,
)
from stylert.apps.evaluation.extraction import (
    Features,
    extract_data,
    extract_drawn,
    keep_in,
    list_classes,
)
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.frechet import estimate_frechet, measure_frechet
from stylert.apps.evaluation.intervals import Estimate, estimate_mean, estimate_share
from stylert.apps.evaluation.kernel import estimate_kernel_distance, measure_kernel_distance
from stylert.apps.evaluation.moments import Moments, measure_moments
from stylert.apps.evaluation.neighbours import (
    estimate_density_coverage,
    estimate_precision_recall,
)
from stylert.apps.evaluation.path_length import estimate_path_length, measure_path_lengths
from stylert.apps.evaluation.sheet import draw_sheet, rank_pictures
from stylert.apps.evaluation.statistics_files import (
    Statistics,
    check_network,
    read_statistics,
    write_statistics,
)

__all__ = ["METRICS", "DataPictures", "Drawer", "Drift", "Estimate", "Evaluation"]
__all__ += ["FeatureNetwork", "Features", "GeneratorDrawer", "Moments", "Statistics"]
__all__ += ["check_classes", "check_counts", "check_features", "list_classes"]
__all__ += ["check_network", "draw_sheet", "evaluate", "extract_data", "extract_drawn", "keep_in"]
__all__ += ["estimate_density_coverage", "estimate_frechet", "estimate_kernel_distance"]
__all__ += ["estimate_mean", "estimate_path_length", "estimate_precision_recall", "estimate_share"]
__all__ += ["measure_drift", "measure_frechet", "measure_kernel_distance", "measure_moments"]
__all__ += ["measure_path_lengths"]
__all__ += ["open_data", "open_network", "rank_pictures", "read_statistics"]
__all__ += ["write_statistics"]
