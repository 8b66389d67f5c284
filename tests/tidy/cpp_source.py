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
    header: str = ""  # what precedes the brace: result, name, parameters, member initialisers


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
            found.append(Function(_name(header), match.start(), end, line, n_lines, header))
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


def comments(text):
    """(line, text without its slashes) of every comment that has its lines for itself; consecutive lines are one."""
    found = []
    end = -1
    for match in _LITERALS.finditer(text):
        comment = match.group()
        begin_of_line = text.rfind("\n", 0, match.start()) + 1
        if not comment.startswith(("//", "/*")) or text[begin_of_line : match.start()].strip():
            continue
        body = comment[2:] if comment.startswith("//") else comment[2:-2]
        between = text[end : match.start()] if found else "x"
        if not between.strip() and between.count("\n") == 1:
            found[-1] = (found[-1][0], found[-1][1] + "\n" + body)
        else:
            found.append((text.count("\n", 0, match.start()) + 1, body))
        end = match.end()
    return found


def prose(text):
    """The text with all but comments and string literals blanked: what a person reads who does not read code."""
    kept = []
    at = 0
    for match in _LITERALS.finditer(text):
        begin_of_line = text.rfind("\n", 0, match.start()) + 1
        is_include = re.match(r"[ \t]*#[ \t]*include", text[begin_of_line : match.start()])
        kept.append(re.sub(r"[^\n]", " ", text[at : match.start()]))
        kept.append(_spaces(match) if is_include else match.group())
        at = match.end()
    kept.append(re.sub(r"[^\n]", " ", text[at:]))
    return "".join(kept)


def parameters(header):
    """How many parameters a function takes, by the text before its brace or semicolon; -1: it has no list of them."""
    name = re.search(r"(?:operator\s*(?:\(\)|[^\s\w(]+)|[~\w]+)\s*\((?!\s*\))", _without_launch_bounds(header))
    if not name:
        return 0
    depth = 0
    n = 1
    text = _without_launch_bounds(header)
    for i in range(name.end() - 1, len(text)):
        c = text[i]
        if c in "([{<":
            depth += 1
        elif c in ")]}>" and text[i - 1] != "-":
            depth -= 1
            if depth == 0:
                return n
        elif c == "," and depth == 1:
            n += 1
    return n


def _without_launch_bounds(header):
    """Attributes take parentheses, too: they are no parameters."""
    return re.sub(r"\b(?:__launch_bounds__|__attribute__|__declspec|alignas|requires)\s*\((?:[^()]|\([^()]*\))*\)", " ", header)


_CONTROL = re.compile(r"\b(?:if|for|while|switch|do|else|return|continue|break)\b|[{}();]")


def nesting(code):
    """How deep the control statements of a function's blanked body lie in each other; its outermost ones: 1.
    A guard, `if (...) return ...;` or continue or break, adds no level."""
    return _Nesting(code).block()


class _Nesting:
    """A recursive descent over the tokens that matter: control words, braces, parentheses, semicolons."""

    def __init__(self, code):
        self.tokens = [m.group() for m in _CONTROL.finditer(code)]
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def block(self):
        """Statements up to the brace that closes them."""
        deepest = 0
        while self.peek() and self.peek() != "}":
            deepest = max(deepest, self.statement())
        self.at += 1
        return deepest

    def statement(self):
        token = self.peek()
        if token in ("if", "for", "while", "switch"):
            self.take()
            inside = self.parentheses() if self.peek() == "(" else 0
            guards = token == "if" and self.peek() in ("return", "continue", "break")
            inside = max(inside, self.statement() + (0 if guards else 1))
            while self.peek() == "else":
                self.take()
                goes_on = self.peek() == "if"  # `else if` is no deeper
                inside = max(inside, self.statement() + (0 if goes_on else 1))
            return inside
        if token == "do":
            self.take()
            return self.statement() + 1  # its `while (...);` is read as a loop with nothing in it
        if token == "{":
            self.take()
            return self.block()
        return self.expression()

    def parentheses(self):
        """(...): a lambda in it has statements of its own."""
        self.take()
        deepest = 0
        while self.peek() and self.peek() != ")":
            token = self.take()
            if token == "(":
                self.at -= 1
                deepest = max(deepest, self.parentheses())
            elif token == "{":
                deepest = max(deepest, self.block())
        self.at += 1
        return deepest

    def expression(self):
        """Up to its semicolon, or to a control word: a label or an initialiser in braces came before."""
        deepest = 0
        while (token := self.peek()) and token not in ("}", "if", "for", "while", "switch", "do", "else"):
            if token == "(":
                deepest = max(deepest, self.parentheses())
                continue
            self.take()
            if token == ";":
                return deepest
            if token == "{":
                deepest = max(deepest, self.block())
        if token == "else":
            self.take()
        return deepest
