#!/usr/bin/env python3
"""`ingot run --chat`: the model's template, one answer and conversations, and what a person does in a terminal.

usage: INGOT=path/to/ingot chat_cli_test.py
"""
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
import unittest

import tiny_model
from cli_case import INGOT, USAGE, Case, ingot

TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ '<' + m.role[0] + '>' + m.content | trim + eos_token }}"
            "{% endfor %}{% if add_generation_prompt %}<a>{% endif %}")
HELLO = "!<s>Be kind.\"<u>Hello\"<a>"  # what it makes of --system 'Be kind.' and 'Hello'


class Chat(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokenizer_config(cls.model, TEMPLATE)

    @staticmethod
    def tokenizer_config(model, template):
        (model / "tokenizer_config.json").write_text(
            json.dumps({"bos_token": "!", "eos_token": '"', "chat_template": template}))

    def other(self, name, template):
        model = tiny_model.write(self.work / name)
        self.tokenizer_config(model, template)
        return model

    def test_one_answer_is_what_the_rendered_text_gives(self):
        options = ("--greedy", "-n", "8", "--json")
        chat = self.run_ok("run", self.model, "--chat", "--system", "Be kind.", "-p", "Hello", *options)
        plain = self.run_ok("run", self.model, "-p", HELLO, *options)
        chat, plain = json.loads(chat.stdout), json.loads(plain.stdout)
        self.assertEqual(chat["text"], plain["text"])
        self.assertEqual(chat["prompt_tokens"], len(HELLO))

    def test_an_artifact_carries_its_template(self):
        target = self.pack("chat.ingot", "--codec", "lossless_v1")
        options = ("--chat", "-p", "Hello", "--exact", "--greedy", "-n", "8")
        self.assertEqual(self.run_ok("run", target, *options).stdout, self.run_ok("run", self.model, *options).stdout)

    def test_a_pipe_talks_line_by_line(self):
        run = self.run_ok("run", self.model, "--chat", "--greedy", "-n", "5", "--stats",
                          stdin=b"Hello\n\n/clear\nHello\n/exit\nnot read\n")
        # The same question after /clear has the same answer; all but its last token was there already.
        half = len(run.stdout) // 2
        self.assertEqual(run.stdout[:half], run.stdout[half:])
        self.assertEqual(run.stderr.count(b"prefill"), 2)
        self.assertRegex(run.stderr.decode(), r"prefill 13 tokens[^$]*prefill 1 tokens")

    def test_what_was_said_is_told_again(self):
        model = self.other("strict", "{% if messages | length > 1 %}{{ raise_exception(messages[0].content ~ '|' ~ "
                                     "messages[1].role) }}{% endif %}" + TEMPLATE)
        run = ingot("run", model, "--chat", "--greedy", "-n", "3", stdin=b"one\ntwo\n")
        self.assertEqual(run.returncode, USAGE)
        self.assertIn(b"the template says: one|assistant", run.stderr)

    def test_templates_by_name_and_file(self):
        named = self.other("named", [{"name": "default", "template": "D{{ messages[0].content }}"},
                                     {"name": "tool_use", "template": "TT{{ messages[0].content }}"}])
        options = ("--chat", "-p", "Hello", "--greedy", "-n", "1", "--json")

        def prompt_tokens(*more):
            return json.loads(self.run_ok("run", named, *options, *more).stdout)["prompt_tokens"]

        self.assertEqual(prompt_tokens(), 6)
        self.assertEqual(prompt_tokens("--chat-template", "tool_use"), 7)
        other = self.work / "other.jinja"
        other.write_text("{{ bos_token }}...{{ messages[-1].content }}")
        self.assertEqual(prompt_tokens("--chat-template", other), 9)
        self.assertEqual(prompt_tokens("--no-template"), len("User: Hello\nAssistant:"))
        self.fails(USAGE, r"no chat template 'x', but default, tool_use", "run", named, *options,
                   "--chat-template", "x")

    def test_what_fails_is_named(self):
        bad = self.other("bad", "a\n{% for m in messages %}{{ m.content | shout }}{% endfor %}")
        self.fails(USAGE, r"chat template: line 2: no filter named 'shout'; --no-template", "run", bad, "--chat", "-p", "x")
        broken = self.other("broken", "{% if %}")
        self.fails(USAGE, r"tokenizer_config.json: line 1: .*expression.*; --no-template", "run", broken, "--chat", "-p", "x")
        self.run_ok("run", broken, "--chat", "-p", "x", "-n", "1", "--no-template")
        none = tiny_model.write(self.work / "none")
        self.fails(USAGE, r"no chat template: --no-template", "run", none, "--chat", "-p", "x")
        self.fails(USAGE, r"--prompt TEXT, or --chat", "run", self.model)
        self.fails(USAGE, r"go with --chat", "run", self.model, "-p", "x", "--system", "y")

    def conversation(self, model, *options):
        """A person's terminal: the process, its side of it, and a wait for what is shown."""
        master, slave = pty.openpty()
        process = subprocess.Popen([INGOT, "run", model, "--chat", "--greedy", *options], stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm"})
        self.addCleanup(process.kill)
        os.close(slave)

        def wait_for(reached):
            shown = b""
            while not reached(shown):
                self.assertTrue(select.select([master], [], [], 60)[0], shown)
                shown += os.read(master, 65536)
            return shown

        return process, master, wait_for

    def test_lines_are_edited_and_brought_back(self):
        echo = self.other("echo", "{{ raise_exception('said ' ~ messages[-1].content) }}")
        process, master, wait_for = self.conversation(echo)
        self.addCleanup(os.close, master)
        if b"Up brings lines back" not in wait_for(lambda shown: shown.endswith(b"> ")):
            process.kill()
            self.skipTest("built without libedit")
        os.write(master, "Hällo\n".encode())
        wait_for(lambda shown: "says: said Hällo".encode() in shown and shown.endswith(b"> "))
        def by_keys():  # the prompt is shown before keys are taken one by one
            while termios.tcgetattr(master)[3] & termios.ICANON:
                time.sleep(0.01)

        by_keys()
        # Up, then the last three characters are others: one is of two bytes.
        os.write(master, b"\x1b[A" + b"\x7f" * 4 + b"i\n")
        wait_for(lambda shown: b"says: said Hi" in shown and shown.endswith(b"> "))
        by_keys()
        os.write(master, b"\x04")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_interrupt_ends_the_answer_and_not_the_conversation(self):
        endless = self.other("endless", "{{ messages[-1].content }}")
        process, master, wait_for = self.conversation(endless, "--ignore-eos", "-n", "100000000")
        wait_for(lambda shown: shown.endswith(b"> "))
        process.send_signal(signal.SIGINT)
        wait_for(lambda shown: b"/exit or Ctrl-D ends" in shown and shown.endswith(b"> "))
        os.write(master, b"Hello\n")
        wait_for(lambda shown: len(shown) > 100)
        process.send_signal(signal.SIGINT)
        wait_for(lambda shown: shown.endswith(b"(interrupted)\r\n> "))
        os.write(master, b"/exit\n")
        self.assertEqual(process.wait(timeout=60), 0)
        os.close(master)


if __name__ == "__main__":
    unittest.main()
