"""Just enough C++ to find where functions begin and end, without a compiler.

The text is blanked (comments, literals, preprocessor lines become spaces, line breaks stay), so that every brace that is
left is a real one, and every position is still the position in the file.
"""

import re
from dataclasses import dataclass

_LITERALS = re.compile(
    r'//[^\n]*|/\*.*?\*/'  # comments
    r'|R"([^\s()\\]*)\(.*?\)\1"'  # raw strings
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",  # 1'000 is a number, not a character
    re.DOTALL,
)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE | re.DOTALL)
_SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum|extern)\b")
_FUNCTION_END = re.compile(
    r"\)\s*(?:(?:const|noexcept|override|final|mutable|try|&&?)\s*|noexcept\s*\([^)]*\)\s*|requires\b[^;{]*"
    r"|->\s*[\w:<>,\s*&()\[\]]+)*$"
)
_INIT_LIST = re.compile(r"\)\s*(?:noexcept\s*)?:(?!:)")


def _spaces(match):
    return re.sub(r"[^\n]", " ", match.group())


def blank(text):
    """The same text with comments, literals and preprocessor lines turned into spaces."""
    return _PREPROCESSOR.sub(_spaces, _LITERALS.sub(_spaces, text))


@dataclass
class Function:
    name: str
    begin: int  # position of its opening brace
    end: int  # position of its closing brace
    line: int
    n_lines: int  # from the opening brace's line to the closing one's, both counted


def _closing_brace(code, at):
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, at):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    return len(code) - 1


def _kind(header):
    """What a brace opens, by the text between the last statement and it: 'scope', 'function' or 'other'."""
    head = re.sub(r"operator\s*(?:\(\)|[^\s\w(]+)", "operator_", header.strip())
    if _INIT_LIST.search(head) and "?" not in head:
        # `X() : a_(1), b_{2} {`: a name right before the brace is a member that is initialised.
        return "member" if re.search(r"[\w>]$", head) else "function"
    if _FUNCTION_END.search(head) and not re.search(r"=\s*[\w:<>]*\([^()]*\)$", head):
        return "function"
    if _SCOPE.search(head) and "=" not in head:
        return "scope"
    return "other"


def _name(header):
    match = re.search(r"(operator\s*(?:\(\)|[^\s\w(]+)|[~\w:]+)\s*\(", header)
    return match.group(1) if match else "?"


def functions(text):
    """Every function outside other functions; lambdas and local classes belong to the function around them."""
    code = blank(text)
    found = []
    at = header_begin = 0
    token = re.compile(r"[{};]")
    while match := token.search(code, at):
        at = match.end()
        if match.group() != "{":
            header_begin = at
            continue
        header = code[header_begin : match.start()]
        header = re.sub(r"^\s*(?:public|private|protected)\s*:", "", header)
        kind = _kind(header)
        if kind == "scope":
            header_begin = at
            continue
        end = _closing_brace(code, match.start())
        at = end + 1
        if kind == "function":
            line = code.count("\n", 0, match.start()) + 1
            n_lines = code.count("\n", match.start(), end) + 1
            found.append(Function(_name(header), match.start(), end, line, n_lines))
            header_begin = at
        # 'member' and 'other' (an initialiser): the header goes on behind the brace.
    return found


def outside_functions(text):
    """The text with every function body blanked: what is left is declarations, comments and all."""
    pieces = []
    at = 0
    for function in functions(text):
        pieces.append(text[at : function.begin])
        pieces.append(re.sub(r"[^\n]", " ", text[function.begin : function.end + 1]))
        at = function.end + 1
    return "".join(pieces) + text[at:]
