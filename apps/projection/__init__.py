"""From pictures back to styles: projection by gradients, and inpainting.

from stylert.apps.projection import project, read_photos

photos = read_photos(["me.jpg"], generator.spec)
for step in project(generator, photos, steps=100):
    print(step.number, step.psnr)
ws = step.best_ws
"""

from stylert.apps.projection.feature_loss import FeatureLoss
from stylert.apps.projection.photos import read_mask, read_photos
from stylert.apps.projection.projector import ProjectionStep, Projector, project
from stylert.apps.projection.settings import ProjectionSettings

__all__ = [
    "FeatureLoss",
    "ProjectionSettings",
    "ProjectionStep",
    "Projector",
    "project",
    "read_mask",
]
__all__ += ["read_photos"]
