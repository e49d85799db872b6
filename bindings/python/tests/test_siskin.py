"""What the Python package promises, run for real. `SISKIN_SCRIPT` names the model that `cargo xtask script-model` writes
(it always says the same), `SISKIN_MODELS` the folder of real ones."""

import json
import os
import pathlib
import statistics
import sys
import threading
import time
import unittest

import siskin
from siskin import Event, Message, SiskinError, StopReason

SCRIPT = os.environ["SISKIN_SCRIPT"]
SEEING = pathlib.Path(os.environ["SISKIN_SEEING"])
SMOLLM2 = pathlib.Path(os.environ.get("SISKIN_MODELS", "models")) / "smollm2-135m-instruct-q4_1.gguf"
TEXT = " Hello 🐦,\ufffd and\ufffd bye!\ufffd"
LONG = list(range(3, 20)) * 400  # tokens of a long prompt


class Script(unittest.TestCase):
    """With the model that always says the same."""

    def setUp(self):
        self.model = siskin.Model.open(SCRIPT)
        self.session = self.model.session()

    def tearDown(self):
        self.session.close()
        self.model.close()

    def test_characters_arrive_whole_and_other_bytes_as_replacements(self):
        pieces = list(self.session.ask("hi", temperature=0))
        self.assertEqual("".join(pieces), TEXT)
        self.assertTrue(any("🐦" in piece for piece in pieces))

    def test_events_come_in_order_and_end_with_done(self):
        events = list(self.session.generate("hi", temperature=0, logprobs=True))
        self.assertTrue(isinstance(events[0], Event.PREFILL) and isinstance(events[-1], Event.DONE))
        self.assertEqual(sum(e.is_DONE() for e in events), 1)
        tokens = [e for e in events if e.is_TOKEN()]
        self.assertTrue(all(e.logprob <= 0 for e in tokens))
        outcome = events[-1].outcome
        self.assertEqual((outcome.reason, outcome.stats.generated_tokens), (StopReason.END_OF_TURN, len(tokens)))
        self.assertEqual("".join(e.text for e in events if e.is_TEXT()), TEXT)

    def test_options_count(self):
        answer = self.session.generate("hi", temperature=0, max_tokens=3)
        self.assertEqual(sum(e.is_TOKEN() for e in answer), 3)
        self.assertEqual(answer.outcome.reason, StopReason.MAX_TOKENS)
        answer = self.session.ask("hi", temperature=0, stop=[" and"])
        self.assertEqual("".join(answer), " Hello 🐦,\ufffd")
        self.assertEqual(answer.outcome.reason, StopReason.STOP_STRING)
        with self.assertRaises(SiskinError.Argument):
            self.session.ask("hi", temperature=-1)

    def test_texts_become_vectors(self):
        with self.assertRaises(SiskinError.Unsupported):  # the file does not say how
            self.model.embedder()
        with self.model.embedder(pooling=siskin.Pooling.LAST) as embedder:
            embedder.cancel()  # nothing runs
            axis = [float(i == 14) for i in range(128)]
            self.assertEqual(list(embedder.embed_all(["hello", "world"])), [axis, axis])
            self.assertEqual(embedder.dimensions(), 128)
            with self.assertRaises(SiskinError.ContextFull):
                embedder.embed("a" * 9000)
        with self.assertRaises(siskin.Closed):
            embedder.embed("x")
        with self.model.embedder(pooling=siskin.Pooling.MEAN, dimensions=15) as embedder:
            self.assertEqual(len(embedder.embed("x")), 15)

    def test_fills_in_the_middle(self):
        self.assertTrue(self.model.fills_in())
        texts = self.session.fim("int main", "return", path="a.c", files=[siskin.FimFile(path="b.c", text="x")], temperature=0)
        self.assertEqual("".join(texts), TEXT)
        self.assertEqual(texts.cut, siskin.FimCut(prefix_tokens=0, suffix_tokens=0, files=0))
        self.assertGreater(self.session.fim("a" * 9000, "b").cut.prefix_tokens, 4000)

    def test_moderates(self):
        with self.assertRaises(SiskinError.Unsupported):
            self.model.moderator()
        with self.model.moderator(any_model=True) as moderator:
            moderator.cancel()  # nothing runs
            scores = moderator.moderate("hello")
            self.assertEqual([s.policy for s in scores], ["dangerous_content", "harassment", "hate_speech", "sexually_explicit"])
            scores += moderator.moderate("hello", "hi", [siskin.Policy(name="mine", guideline="No shouting.")])
            for score in scores:
                self.assertAlmostEqual(score.probability, 0.7561, 4)
            with self.assertRaisesRegex(SiskinError.Argument, "spam"):
                moderator.moderate("hello", None, [siskin.Policy(name="spam")])

    def test_what_the_model_is_for(self):
        info = self.model.info()
        self.assertEqual((info.generates, info.pooling), (True, None))
        siskin.Model.open(SCRIPT, experts=siskin.Experts.STREAM).close()

    def test_busy_while_a_job_runs_and_free_again_after_a_cancel(self):
        answer = self.session.generate("hi", stop_at_end_of_turn=False)
        next(answer)
        with self.assertRaises(SiskinError.Busy):
            self.session.position()
        with self.assertRaises(SiskinError.Busy):
            self.session.job("more").start()
        answer.cancel()
        answer.cancel()
        self.assertEqual(list(answer)[-1].outcome.reason, StopReason.CANCELLED)
        self.assertGreater(self.session.position(), 0)

    def test_cancel_before_the_start_counts(self):
        answer = self.session.generate("hi")
        answer.cancel()
        self.assertEqual([e.is_DONE() for e in answer], [True])
        self.assertEqual(answer.outcome.reason, StopReason.CANCELLED)

    def test_dropping_or_closing_the_iterator_cancels(self):
        for leave in ("drop", "close", "with"):
            answer = self.session.generate("hi", stop_at_end_of_turn=False)
            next(answer)
            if leave == "drop":
                del answer
            elif leave == "close":
                answer.close()
                self.assertEqual(list(answer), [])
            else:
                with answer:
                    next(answer)
            self.wait_until_free(self.session)

    def test_an_answer_keeps_its_session(self):
        self.assertEqual("".join(self.model.session().ask("hi", temperature=0)), TEXT)

    def test_freeing_while_busy_returns_at_once(self):
        session = self.model.session()
        answer = session.generate(LONG[:4000])
        answer._job.start()
        started = time.perf_counter()
        session.close()
        self.model.close()
        took = time.perf_counter() - started
        self.assertLess(took, 0.05)
        self.assertEqual(list(answer)[-1].outcome.reason, StopReason.CANCELLED)

    def test_use_after_close_is_an_error(self):
        self.session.close()
        self.session.close()
        with self.assertRaises(siskin.Closed) as caught:
            self.session.position()
        self.assertEqual(str(caught.exception), "this session is closed")
        with self.assertRaises(SiskinError):
            self.session.generate("hi")

    def test_sources(self):
        data = pathlib.Path(SCRIPT).read_bytes()
        with siskin.Model.open_bytes(data) as model, model.session() as session:
            self.assertEqual("".join(session.ask("hi", temperature=0)), TEXT)
        packed = pathlib.Path(self.id() + ".bin")
        try:
            packed.write_bytes(b"x" * 4096 + data + b"y" * 100)
            with packed.open("rb") as file:
                model = siskin.Model.open_file(file, offset=4096, length=len(data))
                with self.assertRaises(SiskinError):
                    siskin.Model.open_file(file, offset=0, length=100)
            with model, model.session() as session:  # the file is closed by now
                self.assertEqual("".join(session.ask("hi", temperature=0)), TEXT)
        finally:
            packed.unlink()
        with self.assertRaises(SiskinError.Argument):
            siskin.Model.open_file(-1, 0, 1)
        with self.assertRaises(SiskinError):
            siskin.Model.open_file(10_000, 0, 1)

    def test_errors_say_what_and_where(self):
        with self.assertRaises(SiskinError) as caught:
            siskin.Model.open("no-such-model.gguf")
        self.assertIsInstance(caught.exception, SiskinError.Io)
        self.assertEqual(caught.exception.file, "no-such-model.gguf")
        self.assertIn("no-such-model.gguf", str(caught.exception))
        with self.assertRaises(SiskinError.Format):
            siskin.Model.open_bytes(b"GGUF")
        with self.assertRaises(SiskinError.ContextFull):
            list(self.model.session(context=16).generate(LONG[:100]))
        with self.assertRaises(SiskinError.Argument):
            list(self.session.generate([10**9]))

    def test_tokens_metadata_and_templates(self):
        model = self.model
        self.assertEqual(json.loads(model.metadata("general.name")), "A script for tests")
        self.assertIn("general.architecture", model.metadata_keys())
        self.assertIsNone(model.metadata("no.such.key"))
        ids = model.tokenize(" Hello 🐦", add_special=False)
        self.assertEqual(model.detokenize(ids).strip(), "Hello 🐦")
        special = model.special_tokens()
        self.assertEqual(model.token_text(special.eos), "</s>")
        self.assertEqual(model.token_id("</s>"), special.eos)
        self.assertIn(special.eos, special.ends)
        self.assertEqual(model.token_kind(special.eos), siskin.TokenKind.CONTROL)
        self.assertEqual(model.token_bytes(model.token_id("<0xF0>")), b"\xf0")
        messages = [Message(role="user", content="hi")]
        self.assertEqual(model.render(messages), "<|user|>hi</s><|assistant|>")
        self.assertGreater(len(model.conversation(messages)), 3)
        with self.assertRaises(SiskinError.Argument):
            model.render([Message(role="user", content="hi", fields="[]")])
        fit = model.fit(siskin.SessionOptions(context=1000))
        self.assertEqual((fit.context, fit.peak), (1000, fit.dirty + fit.mapped))

    def test_sessions_go_back_and_say_their_scores(self):
        self.assertEqual(self.session.logits(), [])
        list(self.session.generate([1, 5, 6], max_tokens=1, temperature=0))
        self.assertEqual(self.session.tokens()[:3], [1, 5, 6])
        self.assertEqual(len(self.session.logits()), self.model.info().vocabulary)
        self.assertEqual(self.session.truncate(2), 2)
        self.assertEqual((self.session.position(), self.session.room()), (2, self.session.fit().context - 2))

    def test_the_log_and_a_sink_that_fails(self):
        heard = []

        class Sink(siskin.LogSink):
            def log(self, level, text):
                heard.append((level, text))
                raise RuntimeError("a sink may fail")

        with siskin.Model.open(SCRIPT, log=Sink(), log_level=siskin.LogLevel.DEBUG) as model, model.session() as session:
            self.assertEqual("".join(session.ask("hi", temperature=0)), TEXT)
        self.assertTrue(any("llama" in text for _, text in heard), heard)

    def test_governor(self):
        self.model.set_thermal(siskin.Thermal.CRITICAL)
        self.assertEqual(self.model.active_threads(), 1)
        self.model.set_thermal(siskin.Thermal.NOMINAL)
        self.model.relieve(siskin.Pressure.CRITICAL)
        self.assertEqual("".join(self.session.ask("hi", temperature=0)), TEXT)

    def test_a_chat_remembers(self):
        chat = siskin.Chat(self.session, system="be kind")
        self.assertEqual("".join(chat.ask("one", temperature=0)), TEXT)
        self.assertEqual([m.role for m in chat.messages], ["system", "user", "assistant"])
        answer = chat.ask("two", temperature=0)
        first = next(answer)
        answer.close()
        self.assertEqual((chat.messages[-2].content, chat.messages[-1].content), ("two", first))

    def test_threads_cancel_and_pull_at_once(self):
        def work():
            with self.model.session() as session:
                for _ in range(20):
                    answer = session.generate("hi", stop_at_end_of_turn=False)
                    timer = threading.Timer(0.002, answer.cancel)
                    timer.start()
                    reasons.append(list(answer)[-1].outcome.reason)

        reasons = []
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(reasons, [StopReason.CANCELLED] * 80)

    def wait_until_free(self, session):
        for _ in range(200):
            try:
                return session.position()
            except SiskinError.Busy:
                time.sleep(0.005)
        self.fail("the job still runs")


class Seeing(unittest.TestCase):
    """With the model that `cargo xtask seeing-model` writes, and what the library itself answers with it."""

    def setUp(self):
        self.model = siskin.Model.open(SEEING / "model.gguf")
        self.vision = self.model.vision(SEEING / "mmproj.gguf")
        self.session = self.model.session()
        self.pixels = (SEEING / "picture.rgb").read_bytes()

    def answers(self, name, *pictures):
        texts = self.session.ask(
            "what is this", pictures=pictures, temperature=0, max_tokens=12, stop_at_end_of_turn=False
        )
        list(texts)
        lines = dict(line.split(" ") for line in (SEEING / "answers.txt").read_text().splitlines())
        self.assertEqual(",".join(map(str, texts.tokens)), lines[name], name)
        return texts.outcome

    def test_pictures_are_seen(self):
        info = self.vision.info()
        self.assertEqual((info.image_size, info.positions, info.layers), (40, 25, 2))
        rgb = self.vision.picture_rgb(64, 48, self.pixels)
        png = self.vision.picture(SEEING / "picture.png")
        jpg = self.vision.picture((SEEING / "picture.jpg").read_bytes())
        self.vision.close()
        self.answers("none")
        self.answers("rgb", rgb)
        self.answers("png", png)
        self.answers("jpg", jpg)
        self.answers("both", png, jpg)
        self.assertEqual(self.answers("both", png, jpg).stats.prompt_tokens, 1)  # the rest is there already

    def test_long_pictures_are_seen_in_parts(self):
        usual = self.vision.pan_and_scan()
        self.assertEqual(usual, siskin.PanAndScan())
        self.assertEqual((usual.min_crop_size, usual.max_crops, usual.min_ratio), (256, 4, 1.2))
        crops = siskin.PanAndScan(min_crop_size=8)
        rgb = self.vision.picture_rgb(64, 48, self.pixels, crops)
        png = self.vision.picture(SEEING / "picture.png", pan_and_scan=crops)
        self.assertEqual((rgb.images(), png.images()), (3, 3))
        self.answers("crops", rgb)
        self.session.truncate(0)
        self.answers("crops", png)
        for without in (None, False, True):  # it is too small for the usual crops
            self.assertEqual(self.vision.picture_rgb(64, 48, self.pixels, without).images(), 1)
        pixels = bytes(600 * 300 * 3)
        self.assertEqual(self.vision.picture_rgb(600, 300, pixels, pan_and_scan=True).images(), 3)
        self.assertEqual(self.vision.picture_rgb(600, 300, pixels).images(), 1)
        for wrong in ({"max_crops": 0}, {"max_crops": 17}, {"min_crop_size": 0}, {"min_ratio": float("nan")}):
            with self.assertRaises(SiskinError.Argument):
                self.vision.picture_rgb(64, 48, self.pixels, siskin.PanAndScan(**wrong))

    def test_a_chat_keeps_its_pictures(self):
        chat = siskin.Chat(self.session)
        picture = self.vision.picture_rgb(64, 48, self.pixels)
        settings = {"temperature": 0, "max_tokens": 3, "stop_at_end_of_turn": False}
        list(chat.ask("what is this", pictures=[picture], **settings))
        self.assertEqual((chat.messages[0].pictures, chat.messages[1].pictures), ([picture], []))
        before = self.session.position()
        answer = chat.ask("and more", **settings)
        list(answer)
        self.assertLess(answer.outcome.stats.prompt_tokens, 40)  # without the picture and the first turn
        self.assertGreater(self.session.position(), before)

    def test_sources_and_refusals(self):
        data = (SEEING / "mmproj.gguf").read_bytes()
        self.assertEqual(self.model.vision_bytes(data).info().positions, 25)
        with (SEEING / "mmproj.gguf").open("rb") as file:
            self.assertEqual(self.model.vision_file(file).info().positions, 25)
        with siskin.Model.open(SCRIPT) as blind:
            with self.assertRaisesRegex(SiskinError.Unsupported, "does not see"):
                blind.vision(SEEING / "mmproj.gguf")
            with self.assertRaisesRegex(SiskinError.Argument, "another model"):
                blind.session().ask("x", pictures=[self.vision.picture_rgb(64, 48, self.pixels)])
        with self.assertRaisesRegex(SiskinError.Shape, "belongs to another model"):
            self.model.vision(SEEING / "other.gguf")
        with self.assertRaisesRegex(SiskinError.Unsupported, "no vision tower"):
            self.model.vision(SEEING / "model.gguf")
        for width, height, pixels in ((0, 0, b""), (64, 48, self.pixels[1:]), (2**32 - 1, 2**32 - 1, self.pixels)):
            with self.assertRaises(SiskinError.Argument):
                self.vision.picture_rgb(width, height, pixels)
        with self.assertRaisesRegex(SiskinError.Format, "ends early"):
            self.vision.picture((SEEING / "picture.jpg").read_bytes()[:-100])
        with self.assertRaises(SiskinError.Format):
            self.vision.picture(b"no picture")

    def test_cancel_before_the_start_counts(self):
        answer = self.session.ask("x", pictures=[self.vision.picture_rgb(64, 48, self.pixels)])
        answer.cancel()
        self.assertEqual(list(answer), [])
        self.assertEqual((answer.outcome.reason, self.session.position()), (StopReason.CANCELLED, 0))

    def test_it_does_not_fill_in(self):
        self.assertFalse(self.model.fills_in())
        with self.assertRaisesRegex(SiskinError.Unsupported, "not trained to fill in the middle"):
            self.session.fim("a", "b")


@unittest.skipUnless(SMOLLM2.exists() or os.environ.get("CI"), f"skipped: {SMOLLM2} is not here (make models)")
class RealModel(unittest.TestCase):
    def test_cancel_in_a_long_prefill(self):
        delays = []
        with siskin.Model.open(SMOLLM2) as model, model.session(batch=1024) as session:
            for wait in (0.05, 0.1, 0.2, 0.3, 0.45):
                answer = session.generate([5, 6, 7, 8] * 900)
                answer._job.start()
                time.sleep(wait)
                started = time.perf_counter()
                answer.cancel()
                self.assertEqual(list(answer)[-1].outcome.reason, StopReason.CANCELLED)
                session.position()  # not busy
                delays.append((time.perf_counter() - started) * 1000)
                session.truncate(0)
        print(f"cancel in a prefill of 3600 tokens: median {statistics.median(delays):.1f} ms, most {max(delays):.1f} ms")
        self.assertLess(statistics.median(delays), 200)  # 50 on a quiet machine


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    bad = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    print(f"python: {result.testsRun - bad - skipped} passed, {bad} failed")
    sys.exit(bad > 0 or result.testsRun == 0)
