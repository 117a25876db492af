# SPDX-License-Identifier: BSD-2-Clause
"""alone.py - one box of ours; its bus is the test."""
import os
import shutil
import tempfile

from harness import Process
from hopbus import FakeBus, item_bytes, pb


class Asker:
    """Asks a filter; self.ref is the last question's."""

    ref = 0

    def ask(self, box, *texts, ref=None, deadline=5000, **fields):
        """The refs of the questions, all in one frame."""
        refs, items = [], []
        for text in texts:
            self.ref = ref or self.ref + 1
            refs.append(self.ref)
            body = pb.Content(text=text.encode())
            env = pb.Envelope(id=os.urandom(16), **dict(dict(
                kind=pb.MT, account=b"demo", to=b"4915"), **fields))
            item = pb.Item(
                envelope=env.SerializeToString(),
                body=b"" if text == "nothing" else body.SerializeToString(),
                context=pb.Ask(ref=self.ref, filter=b"rule",
                               deadline_ms=deadline).SerializeToString())
            items.append(item)
            box.sent_items += 1
            box.sent_bytes += item_bytes(item)
        box.send_items(pb.FILTER, items)
        return refs

    @staticmethod
    def verdict(box, ref, timeout=20):
        return box.wait_frame(
            pb.VERDICT, timeout, lambda f: f.parse(pb.Verdict).ref == ref).parse(
                pb.Verdict)

    def say(self, box, text, **fields):
        return self.verdict(box, *self.ask(box, text, **fields))


class Alone(Asker):
    """A process in a folder of its own, with the files {name: text}.  group
    has its settings but for the name; {dir} there is the folder."""

    def __init__(self, program, name, group, files):
        self.dir = tempfile.mkdtemp(prefix=program + "-", dir="/tmp")
        self.name = name
        self.bus = FakeBus(self.path("bus.sock"))
        for file, text in files.items():
            with open(self.path(file), "w", encoding="utf-8") as f:
                f.write(text)
        with open(self.path("hopyard.cfg"), "w", encoding="utf-8") as f:
            f.write('bus = { socket = "%s"; }; log = { format = "text"; };\n'
                    'boxes = ( { name = "%s"; %s } );' % (
                        self.bus.path, name, group.replace("{dir}", self.dir)))
        self.process = Process(program, ["-c", self.path("hopyard.cfg")],
                               self.path("log"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def up(self, timeout=20):
        box = self.bus.wait_box(self.name, timeout)
        box.wait(lambda: box.credit() > 0, timeout, "credit")
        return box

    def read(self, name):
        if not os.path.exists(self.path(name)):
            return None
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.bus.stop()
        print(self.process.output()[-4000:])
        shutil.rmtree(self.dir)
