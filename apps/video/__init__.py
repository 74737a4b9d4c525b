"""Videos of pictures: .mp4 and its like, animated .gif and .webp, or a folder of frames.

    from stylert.apps.video import write_video

    frames = generator.interpolate([1, 2, 3], frames=60, loop=True)
    write_video(frames, "walk.mp4", fps=30)

The file or folder appears whole or not at all, and memory does not grow with a video's length.
"""

from stylert.apps.video.video_file import VideoFile, WrittenVideo, write_video

__all__ = ["VideoFile", "WrittenVideo", "write_video"]
