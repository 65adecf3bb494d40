"""The 438 texts by which tokenizers are compared: hard ones, and pieces of the torture text."""
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = 438


TORTURE = [
    "", " ", "  ", "\n", "\n\n\n \t\t \r\n\r\n", " " * 300 + "x", "1234567890" * 30, "a" * 500, "\u4e2d" * 300,
    "Hello world! I'm you're we'll they'VE it'S DON'T 'tis o'clock", "caf\u00e9 cafe\u0301 \u1e9b\u0323 \u212b \u2126",
    "\u0344\u0374\u037e\u0387 \u0958 \uac00\u1100\u1161\u11a8 \u0f43 \u2adc \uf900 \ufb1d",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44b\U0001f3fd",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\x00\x01\x07\x1f\x7f\x80\x85\x9f\xa0\xad\u1680\u180e\u2000\u2003\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff",
    "\ud7ff\ue000\uf8ff\ufdd0\ufffd\ufffe\uffff\U00010000\U0010ffff", "\u00bd\u00b2\u00b3 \u0661\u0662\u0663 \u2167 \u2460 \U0001d7ce",
    "<s>x</s> <unk><|endoftext|> <|im_start|>user\n<|im_end|>\n<s> </s>a<unk>b", "\u2581x \u2581\u2581y", "<0x0A><0xE4>",
    "\u017fS 'S 's '\u017f K\u212a \u0130\u0131 \u1e9e \u03a3\u03c3\u03c2", "x\u0315\u0300\u05ae\u0323y", "\U00031350\U0002ebf0 \u1c89\u1c8a \U000105c0\U00013460",
    "  leading", "trailing  ", "a\n b\n  c\n\n d\t\te", "http://x.y/z?a=b&c=%20#frag [1](2){3} ``` // /* */ <!-- -->", "\u0300\u0301 lone marks",
]


def unicode_texts():
    """The same every time."""
    texts = list(TORTURE)
    lines = (HERE.parents[1] / "tests" / "fixtures" / "torture.txt").read_bytes().decode("utf-8").split("\n")
    wanted = TEXTS - len(texts)
    for i in range(wanted):
        texts.append("\n".join(lines[len(lines) * i // wanted:len(lines) * (i + 1) // wanted]))
    return texts
