"""Start a MONAI Label server on 127.0.0.1, talk to it, and stop it by its process id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "start_label.sh"
STANDIN = Path(__file__).parent / "standin"
STARTS_IN_S = 300
TRAINS_IN_S = 900


class LabelServer:
    """MONAI Label's bundle app with packed bundles, started by docker/start_label.sh as a user starts it.

    Args:
        python: the interpreter of the environment that holds MONAI Label.
        folder: holds the packed bundles, in `dist`; the app, the studies and the log go there.
        images: files that become the studies.
    """

    def __init__(self, python: str, folder: Path, images: list[Path]) -> None:
        self.python, self.folder = Path(python), folder
        self.app, self.studies, self.log = folder / "app", folder / "studies", folder / "server.log"
        self.studies.mkdir()
        for image in images:
            shutil.copy(image, self.studies)
        self.port = _free_port()

    def __enter__(self) -> LabelServer:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MONAI_LABEL")}
        environment |= {"APP": "app", "BUNDLES": "dist", "STUDIES": "studies"}  # relative, as the page has them
        environment |= {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
        }
        environment |= {"PYTHONPATH": str(STANDIN), "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["sh", str(SCRIPT)], stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.folder
            )
        end = time.monotonic() + STARTS_IN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("/info/")
            except OSError:
                time.sleep(1)
            else:
                return self
        self.__exit__()
        raise RuntimeError(f"the server did not start:\n{self.tail()}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> dict:
        """What a GET answers, as JSON."""
        return json.loads(self._call("GET", path)[0])

    def post(self, path: str, body: dict | None = None) -> dict:
        """What a POST answers, as JSON."""
        return json.loads(self._call("POST", path, json.dumps(body or {}).encode(), "application/json")[0])

    def infer(self, model: str, image: str, target: Path, **params: str) -> Path:
        """The mask of an image, as a file; `params` go along in the request."""
        query = urllib.parse.urlencode({"image": image, "output": "image"})
        form, kind = _form({"params": json.dumps({"device": "cpu", **params})})
        target.write_bytes(self._call("POST", f"/infer/{model}?{query}", form, kind)[0])
        return target

    def save_label(self, image: str, mask: Path, segments: list[str]) -> dict:
        """Save a mask as the finished label of an image, as 3D Slicer's module does; `segments` in their order."""
        info = [{"name": name, "idx": number} for number, name in enumerate(segments, start=1)]
        form, kind = _form({"params": json.dumps({"label_info": info})}, {"label": mask})
        query = urllib.parse.urlencode({"image": image})
        return json.loads(self._call("PUT", f"/datastore/label?{query}", form, kind)[0])

    def train(self, model: str, request: dict) -> None:
        """Train in the background, as 3D Slicer's module does, until it is done."""
        self.post(f"/train/{model}", request)
        end = time.monotonic() + TRAINS_IN_S
        while (status := self.get("/train/")["status"]) in ("SUBMITTED", "RUNNING"):
            assert time.monotonic() < end, self.tail()
            time.sleep(2)
        assert status == "DONE", self.tail()

    def tail(self, lines: int = 60) -> str:
        """The end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> tuple[bytes, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=method)
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}\n{self.tail()}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _form(fields: dict[str, str], files: dict[str, Path] | None = None) -> tuple[bytes, str]:
    """A multipart form and its content type."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, path in (files or {}).items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + path.read_bytes() + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
