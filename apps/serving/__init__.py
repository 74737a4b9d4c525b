"""The HTTP service: pictures over JSON, and a page to play with. Needs the extra [serve].

from stylert.apps.serving.application import create_app

app = create_app("bundle")   # for any ASGI server; `stylert serve bundle` starts uvicorn
"""
