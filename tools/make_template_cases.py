#!/usr/bin/env python3
"""Renders the snippets below with Jinja2, in the environment that transformers gives chat templates, into
tests/conformance/data/chat_templates/snippets.json, and the templates of styles/ there into styles.json.
The C++ test renders the same and compares.

    pip install jinja2==3.1.6 && tools/make_template_cases.py
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2026, 2, 14, 9, 30)

VARIABLES = {
    "s": "Hello World",
    "empty": "",
    "space": " \t two  words \n",
    "uni": "Größe – 日本語 😀",
    "quotes": "it's \"x\" \\ \n\ttab",
    "lines": "one\ntwo\n\nfour",
    "i": 7,
    "neg": -7,
    "f": 2.5,
    "big": 9007199254740993,
    "vast": 18446744073709551615,
    "yes": True,
    "no": False,
    "nil": None,
    "nums": [3, 1, 2],
    "mixed": [1, 2.5, "a", None, True, ["x"], {"k": "v"}],
    "names": ["bob", "Alice", "carol", "alice"],
    "d": {"b": 1, "a": [1, 2], "c": {"x": "y"}},
    "none_list": [],
    "people": [
        {"name": "Bo", "age": 30, "team": {"id": 2, "tag": "x"}},
        {"name": "al", "age": 25, "team": {"id": 1, "tag": "y"}},
        {"name": "Cy", "age": 30, "team": {"id": 2, "tag": "z"}},
        {"name": "di", "age": 41},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <b>"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "tool", "content": "42", "items": "own"},
    ],
    "tool": {"type": "function", "function": {"name": "get", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": ["a", "b"]}, "n": {"type": "integer"}},
        "required": ["city"]}}},
}

# What Jinja2 says of these is its own; ours must hold the words on the right.
ERRORS = [
    ("{{ nothing.x }}", "'nothing' is undefined"),
    ("{{ nothing['x'] }}", "'nothing' is undefined"),
    ("{{ d.zz.x }}", "'dict object' has no attribute 'zz'"),
    ("{{ nums[9].x }}", "list object has no element 9"),
    ("{{ nil.x.y }}", "'None' has no attribute 'x'"),
    ("{{ s.foo() }}", "'str object' has no attribute 'foo'"),
    ("{{ nothing + 'x' }}", "'nothing' is undefined"),
    ("{{ 'x' + nothing }}", "'nothing' is undefined"),
    ("{{ nothing < 1 }}", "'nothing' is undefined"),
    ("{{ nothing() }}", "'nothing' is undefined"),
    ("{{ -nothing }}", "'nothing' is undefined"),
    ("{{ nothing | int }}", "'nothing' is undefined"),
    ("{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str"),
    ("{{ 1 + 'a' }}", "unsupported operand type(s) for +: 'int' and 'str'"),
    ("{{ 'a' < 1 }}", "'<' not supported between instances of 'str' and 'int'"),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{{ 1 % 0 }}", "modulo by zero"),
    ("{{ i() }}", "'int' object is not callable"),
    ("{% for x in i %}{% endfor %}", "'int' object is not iterable"),
    ("{% for x in nil %}{% endfor %}", "'NoneType' object is not iterable"),
    ("{% for a, b in [[1]] %}{% endfor %}", "not enough values to unpack (expected 2, got 1)"),
    ("{% for a, b in [[1, 2, 3]] %}{% endfor %}", "too many values to unpack (expected 2)"),
    ("{% set d.x = 1 %}", "cannot assign attribute on non-namespace object"),
    ("{{ nums.append(4) }}", "access to attribute 'append' of 'list' object is unsafe"),
    ("{{ d.update({}) }}", "access to attribute 'update' of 'dict' object is unsafe"),
    ("{{ s.__class__.x }}", "access to attribute '__class__' of 'str' object is unsafe"),
    ("{{ nothing | tojson }}", "Object of type Undefined is not JSON serializable"),
    ("{{ 5 in i }}", "argument of type 'int' is not iterable"),
    ("{{ 1 in 'abc' }}", "requires string as left operand, not int"),
    ("{{ i | length }}", "object of type 'int' has no len()"),
    ("{{ range(1000000) }}", "Range too big"),
    ("{{ 'x' | from_json }}", "from_json: "),
    ("{{ 1 | from_json }}", "from_json"),
    ("{{ [1, 'a'] | sort }}", "not supported between instances of"),
    ("{{ {[]: 1} }}", "unhashable type: 'list'"),
    ("{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "parameter 'a' was not provided"),
    ("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "macro 'm' takes not more than 1 argument(s)"),
    ("{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "macro 'm' takes no keyword argument 'b'"),
    ("{{ s.index('zz') }}", "substring not found"),
    ("{{ s.split('') }}", "empty separator"),
    ("{{ '%d' % 'x' }}", "%d"),
    ("{{ '%s %s' % 'x' }}", "not enough arguments for format string"),
    ("{{ '%s' % (1, 2) }}", "not all arguments converted"),
    ("{{ ([1, 2] | first).x.y }}", "'int object' has no attribute 'x'"),
]

SNIPPETS = r'''
{{ 1 + 2 }}|{{ 1 - 2 }}|{{ 2 * 3 }}|{{ 7 / 2 }}|{{ 7 // 2 }}|{{ 7 % 3 }}|{{ 2 ** 5 }}|{{ 6 / 3 }}
{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 7 % -3 }}|{{ -7 / 2 }}|{{ 2 ** -1 }}|{{ 2 ** 3 ** 2 }}|{{ -2 ** 2 }}
{{ 7.5 // 2 }}|{{ -7.5 % 2 }}|{{ 7.5 % -2 }}|{{ 1.0 }}|{{ 1e16 }}|{{ 1e15 }}|{{ 0.0001 }}|{{ 0.00001 }}|{{ 1e-7 }}
{{ 0.1 + 0.2 }}|{{ 1 / 3 }}|{{ 1e300 * 1e10 }}|{{ 3.14159 }}|{{ 100.0 }}|{{ 123456789.123 }}|{{ 5e-324 }}
{{ 1 + 2 * 3 - 4 / 2 }}|{{ (1 + 2) * 3 }}|{{ 10 - 3 - 2 }}|{{ 100 // 7 // 2 }}|{{ 'x' ~ 4 * 2 }}
{{ 1_000 }}|{{ 0x1F }}|{{ 0b101 }}|{{ 0o17 }}|{{ 1_0.5 }}|{{ 1e3 }}|{{ 2.5e-3 }}|{{ 1E2 }}
{{ true + 1 }}|{{ true and 2 }}|{{ false or 'x' }}|{{ 0 or none }}|{{ 1 and 2 and 3 }}|{{ not 1 }}|{{ not not 1 }}
{{ 'a' ~ 1 ~ none ~ true ~ nothing ~ 2.0 ~ [1] }}
{{ 'a' + 'b' }}|{{ 'ab' * 3 }}|{{ 3 * 'ab' }}|{{ 'a' * 0 }}|{{ 'a' * -1 }}|{{ [1] * 2 }}|{{ [1] + [2, 3] }}|{{ (1,) + (2,) }}
{{ 1 < 2 }}|{{ 1 <= 1 }}|{{ 2 > 1 }}|{{ 2 >= 3 }}|{{ 1 == 1.0 }}|{{ 1 != 2 }}|{{ 'a' < 'b' }}|{{ [1, 2] < [1, 3] }}|{{ true == 1 }}
{{ 1 < 2 < 3 }}|{{ 1 < 3 < 2 }}|{{ 1 == 1 != 2 }}|{{ 3 > 2 > 1 > 0 }}
{{ 1 in nums }}|{{ 9 not in nums }}|{{ 'ell' in s }}|{{ 'a' in d }}|{{ 'z' in d }}|{{ 'x' in nothing }}|{{ none in mixed }}|{{ '' in '' }}
{{ not 1 in nums }}|{{ not (1 in nums) }}|{{ 1 in nums and 2 in nums }}|{{ 1 in nums == true }}
{{ [1, [2, 'x']] == [1, [2, 'x']] }}|{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}|{{ (1, 2) == [1, 2] }}|{{ 'a' == 1 }}|{{ none == false }}|{{ nothing == nothing2 }}|{{ nothing == none }}
{{ 'a' if yes else 'b' }}|{{ 'a' if no else 'b' }}|{{ 'a' if no }}|{{ 'a' if no else 'b' if no else 'c' }}
{{ (1 if no) is undefined }}|{{ [1, 2 if yes else 3] }}
{{ [] }}|{{ {} }}|{{ () }}|{{ (1,) }}|{{ (1, 2) }}|{{ [1, 'a', none, true, 1.5] }}|{{ {'a': 1, 2: 'b', none: false} }}
{{ 1, 2 }}|{{ [1, 2,] }}|{{ {'a': 1,} }}|{{ ('x') }}|{{ (1, 2,) }}
{{ mixed }}|{{ d }}|{{ quotes }}|{{ [quotes] }}|{{ ["it's"] }}|{{ ['say "x"'] }}|{{ uni }}|{{ [uni] }}
{{ ['\x00\x1f\x7f\u00ad\u200b\ue000'] }}|{{ ['\\ \n \r \t \a'] }}
{{ nothing }}|{{ [nothing] }}|{{ none }}|{{ true }}|{{ nothing | default('x') }}|{{ d.nope }}|{{ nums[10] }}
{{ 'a\nb\tc\\d\'e\"f\x41\u00e9\101\q' }}|{{ "it's" }}|{{ 'a' 'b' "c" }}
{{ s[0] }}|{{ s[-1] }}|{{ s[1:4] }}|{{ s[:3] }}|{{ s[-3:] }}|{{ s[::2] }}|{{ s[::-1] }}|{{ s[8:2:-2] }}|{{ s[100:] }}|{{ s[5:2] }}|{{ s[:] }}
{{ nums[0] }}|{{ nums[-1] }}|{{ nums[1:] }}|{{ nums[:-1] }}|{{ nums[::-1] }}|{{ nums[5:] }}|{{ nums[-100:2] }}|{{ (1, 2, 3)[1:] }}|{{ nums[::2] }}|{{ nums[2::-1] }}
{{ uni[0:3] }}|{{ uni[-1] }}|{{ uni[2] }}|{{ uni | length }}|{{ uni[::-1] }}|{{ uni[-4:-1] }}|{{ uni[8:] }}
{{ d.b }}|{{ d['b'] }}|{{ d.c.x }}|{{ d['c']['x'] }}|{{ d.a[1] }}|{{ d.a.1 }}|{{ nums.0 }}|{{ messages[3]['items'] }}|{{ messages[0]['items'] is defined }}|{{ messages[3].items is callable }}
{{ d[0] is defined }}|{{ {1: 'x'}[1] }}|{{ {1: 'x'}[true] }}|{{ {(1, 2): 'x'}[1, 2] is defined }}
{{ d.items() }}|{{ d.keys() }}|{{ d.values() }}|{{ d.items() | list }}|{{ d.keys() | list }}|{{ d.get('b') }}|{{ d.get('z') }}|{{ d.get('z', 5) }}|{{ d.copy() == d }}
{{ nums.count(1) }}|{{ nums.index(2) }}|{{ nums.copy() }}|{{ (1, 1).count(1) }}
{{ s.upper() }}|{{ s.lower() }}|{{ 'hello wORLD'.title() }}|{{ 'hello wORLD'.capitalize() }}|{{ s.swapcase() }}|{{ "they're x1y".title() }}
{{ space.strip() }}|{{ space.lstrip() }}|{{ space.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'xyaxy'.rstrip('yx') }}|{{ 'a'.strip('') }}
{{ 'a,b,,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ' a  b '.split() }}|{{ ' a  b  c '.split(none, 1) }}|{{ ''.split() }}|{{ ''.split(',') }}|{{ 'a--b'.split('--') }}
{{ 'a,b,c'.rsplit(',', 1) }}|{{ ' a b  c '.rsplit(none, 1) }}|{{ 'a b'.rsplit() }}|{{ lines.splitlines() }}|{{ lines.splitlines(true) }}|{{ 'a\r\nb\n'.splitlines() }}
{{ 'a-b-c'.partition('-') }}|{{ 'a-b-c'.rpartition('-') }}|{{ 'abc'.partition('-') }}|{{ 'abc'.rpartition('-') }}
{{ s.startswith('He') }}|{{ s.endswith('ld') }}|{{ s.startswith(('x', 'H')) }}|{{ s.startswith('ell', 1) }}|{{ s.endswith('ell', 0, 4) }}|{{ s.startswith('') }}
{{ s.find('o') }}|{{ s.rfind('o') }}|{{ s.find('zz') }}|{{ s.find('o', 5) }}|{{ s.index('W') }}|{{ s.count('l') }}|{{ s.count('') }}|{{ 'aaa'.count('aa') }}|{{ uni.find('日') }}|{{ s.find('') }}|{{ s.find('H', 1, -1) }}
{{ s.replace('l', 'L') }}|{{ s.replace('l', 'L', 2) }}|{{ 'aaa'.replace('', '-') }}|{{ 'aaa'.replace('', '-', 2) }}|{{ s.replace('zz', 'y') }}
{{ '-'.join(['a', 'b']) }}|{{ ''.join([]) }}|{{ ', '.join('abc') }}|{{ ','.join({'x': 1, 'y': 2}) }}
{{ 'abc'.isalpha() }}|{{ '12'.isdigit() }}|{{ 'a1'.isalnum() }}|{{ ' '.isspace() }}|{{ ''.isalpha() }}|{{ 'ab'.islower() }}|{{ 'AB'.isupper() }}|{{ 'é'.isascii() }}|{{ '12'.isnumeric() }}|{{ 'A1'.isupper() }}|{{ '1'.islower() }}
{{ 'ab'.ljust(5, '.') }}|{{ 'ab'.rjust(5) }}|{{ 'ab'.center(5, '*') }}|{{ 'abc'.center(6, '*') }}|{{ '-5'.zfill(4) }}|{{ '5'.zfill(3) }}|{{ 'abc'.removeprefix('a') }}|{{ 'abc'.removesuffix('c') }}|{{ 'abc'.removesuffix('') }}
{{ '{} and {}'.format(1, 'x') }}|{{ '{0}{1}{0}'.format('a', 'b') }}|{{ '{name}!'.format(name='n') }}|{{ '{{}}'.format() }}|{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}
{{ '{:.2f}'.format(3.14159) }}|{{ '{:5d}'.format(42) }}|{{ '{:05d}'.format(-42) }}|{{ '{:,}'.format(1234567) }}|{{ '{:x} {:X} {:#x} {:b} {:o}'.format(255, 255, 255, 5, 8) }}|{{ '{:+d}'.format(5) }}|{{ '{:e}'.format(12345.678) }}|{{ '{:.1%}'.format(0.256) }}|{{ '{!r}'.format('x') }}
{{ '{0[a]} {0[b]}'.format(d) }}|{{ '{:.3}'.format('abcdef') }}|{{ '{}'.format(none) }}|{{ '{:g}'.format(0.5) }}|{{ '{}'.format(2.0) }}|{{ '{:,.2f}'.format(1234567.891) }}|{{ '{:8}|'.format(3) }}|{{ '{:8}|'.format('x') }}
{{ '%s' % 'x' }}|{{ '%s-%s' % (1, 'b') }}|{{ '%d' % 3.9 }}|{{ '%5d|%-5d|%05d' % (1, 2, 3) }}|{{ '%.2f' % 3.14159 }}|{{ '%x %X %o' % (255, 255, 8) }}|{{ '%r' % 'a' }}|{{ '100%%' % () }}|{{ '%(a)s %(b)d' % {'a': 'x', 'b': 2} }}|{{ '%e' % 12345.678 }}|{{ '%+d' % 5 }}|{{ '%5s|%-5s|' % ('a', 'b') }}|{{ '%s' % [1, 2] }}|{{ '%.2s' % 'abc' }}|{{ '%g' % 1e10 }}
{{ 'k=%s' | format(3) }}|{{ '%(x)s' | format(x=1) }}|{{ '%s %s' | format('a', none) }}
{{ s | upper }}|{{ s | lower }}|{{ 'hello wORLD-foo (bar' | title }}|{{ 'hELLO' | capitalize }}|{{ 5 | upper }}|{{ nothing | upper }}
{{ space | trim }}|{{ 'xxaxx' | trim('x') }}|{{ 5 | trim }}|{{ none | trim }}
{{ s | length }}|{{ nums | length }}|{{ d | length }}|{{ nothing | length }}|{{ nums | count }}|{{ (1, 2) | length }}
{{ nums | join }}|{{ nums | join(', ') }}|{{ people | join(', ', attribute='name') }}|{{ people | map(attribute='name') | join('+') }}|{{ 'abc' | join('-') }}|{{ [1, none, true] | join(' ') }}|{{ d | join(',') }}
{{ nothing | default }}|{{ nothing | d(1) }}|{{ '' | default('x') }}|{{ '' | default('x', true) }}|{{ none | default('x') }}|{{ 0 | d('y', boolean=True) }}|{{ d.zz | default({}) }}
{{ nums | first }}|{{ nums | last }}|{{ 'abc' | first }}|{{ 'abc' | last }}|{{ [] | first }}|{{ d | first }}|{{ d | last }}
{{ 'abc' | list }}|{{ d | list }}|{{ (1, 2) | list }}|{{ range(3) | list }}|{{ range(5, 0, -2) | list }}|{{ range(2, 4) | list }}|{{ range(3) }}|{{ range(3)[1] }}|{{ range(3) | length }}|{{ nothing | list }}
{{ nums | sort }}|{{ nums | sort(reverse=true) }}|{{ names | sort }}|{{ names | sort(case_sensitive=true) }}|{{ (people | sort(attribute='name') | map(attribute='name') | list) }}|{{ people[:3] | sort(attribute='team.id') | map(attribute='name') | list }}|{{ people | sort(attribute='age,name') | map(attribute='name') | list }}
{{ nums | reverse | list }}|{{ 'abc' | reverse }}|{{ nums | max }}|{{ nums | min }}|{{ names | max }}|{{ [] | max }}|{{ people | max(attribute='age') | attr('x') is undefined }}
{{ names | unique | list }}|{{ [1, 2, 1, 1.0, true] | unique | list }}|{{ names | unique(case_sensitive=true) | list }}|{{ people | unique(attribute='age') | map(attribute='name') | list }}
{{ nums | sum }}|{{ people | sum(attribute='age') }}|{{ [1, 2] | sum(start=10) }}|{{ [0.5, 1] | sum }}|{{ [] | sum }}|{{ [[1], [2]] | sum(start=[]) }}
{{ nums | map('string') | list }}|{{ ['a', 'b'] | map('upper') | join }}|{{ ['a-b'] | map('replace', '-', '+') | list }}|{{ people | map(attribute='team.tag', default='?') | list }}|{{ [[1, 2], [3, 4]] | map(attribute=0) | list }}|{{ [[1, 2], [3]] | map('first') | list }}|{{ [' a '] | map('trim') | map('upper') | list }}|{{ people | map(attribute='age') | sum }}
{{ [0, 1, 2, ''] | select | list }}|{{ [0, 1, 2] | reject | list }}|{{ nums | select('odd') | list }}|{{ nums | reject('odd') | list }}|{{ nums | select('gt', 1) | list }}|{{ nums | select('==', 2) | list }}|{{ nums | select('in', [1, 2]) | list }}|{{ mixed | select('string') | list }}|{{ nums | select('divisibleby', 3) | list }}
{{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }}|{{ people | rejectattr('age', 'eq', 30) | map(attribute='name') | list }}|{{ people | selectattr('team') | list | length }}|{{ people | selectattr('team', 'undefined') | list | length }}|{{ people | selectattr('team.id', 'gt', 1) | list | length if no else '-' }}|{{ messages | selectattr('role', 'in', ['user', 'tool']) | map(attribute='role') | list }}|{{ people | rejectattr('team') | map(attribute='name') | first }}
{% for g in people | groupby('age') %}{{ g.grouper }}:{{ g.list | map(attribute='name') | join('/') }};{% endfor %}|{% for k, v in people | groupby('team.id', default=0) %}{{ k }}={{ v | length }} {% endfor %}|{% for k, v in ['b', 'B', 'a'] | groupby(0) %}{{ k }}{{ v }}{% endfor %}
{{ d | items | list }}|{{ nothing | items | list }}|{{ d | dictsort }}|{{ {'B': 1, 'a': 2} | dictsort }}|{{ {'B': 1, 'a': 2} | dictsort(true) }}|{{ {'x': 2, 'y': 1} | dictsort(by='value') }}|{{ {'x': 2, 'y': 1} | dictsort(reverse=true) }}
{{ 42 | string }}|{{ 2.0 | string + 'x' }}|{{ none | string }}|{{ [1] | string | length }}
{{ '42' | int }}|{{ '42.7' | int }}|{{ 'x' | int }}|{{ 'x' | int(9) }}|{{ 3.9 | int }}|{{ -3.9 | int }}|{{ '0x1f' | int(0, 16) }}|{{ 'ff' | int(base=16) }}|{{ ' 12 ' | int }}|{{ true | int }}|{{ none | int }}|{{ '1_000' | int }}|{{ '-5' | int }}|{{ '1e3' | int }}|{{ '' | int }}
{{ '2.5' | float }}|{{ 'x' | float }}|{{ 'x' | float(1.5) }}|{{ 3 | float }}|{{ '1e3' | float }}|{{ 'inf' | float }}|{{ 'nan' | float }}|{{ none | float }}
{{ 25 | round(-1) }}|{{ 35 | round(-1) }}|{{ -26 | round(-1) }}|{{ -9223372036854775807 % 3 }}|{{ range(-5, 5, 3) | list }}|{{ 2.5 | round }}|{{ 3.5 | round }}|{{ 42.55 | round(1) }}|{{ 42.55 | round(1, 'floor') }}|{{ 42.1 | round(0, 'ceil') }}|{{ 42 | round }}|{{ 1234 | round(-2) }}|{{ 2.675 | round(2) }}|{{ 2.5 | round | int }}|{{ 1.005 | round(2) }}|{{ 1234.5 | round(-2) }}
{{ -3 | abs }}|{{ -3.5 | abs }}|{{ neg | abs }}|{{ (-3) | abs }}|{{ +3 }}|{{ -neg }}
{{ s | replace('l', 'L') }}|{{ s | replace('l', 'L', 1) }}|{{ 55 | replace(5, 6) }}|{{ s | replace('Hello', '') | trim }}
{{ lines | indent }}|{{ lines | indent(2, true) }}|{{ lines | indent(width='> ', blank=true) }}|{{ '' | indent }}|{{ 'x\n' | indent }}
{{ '<a href="x">&\'</a>' | escape }}|{{ '<b>' | e }}|{{ '<b>' | safe }}|{{ 5 | e }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }}|{{ [1, 2, 3] | batch(2, 'x') | list }}|{{ [1, 2, 3, 4, 5] | slice(2) | list }}|{{ [1, 2, 3] | slice(2, 'x') | list }}|{{ [] | batch(3) | list }}
{{ s | wordcount }}|{{ 'a b&c=ä/~' | urlencode }}|{{ {'a': 1, 'b c': 'd/e'} | urlencode }}|{{ 'abc' | center(7) }}|{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, true) }}|{{ 'foo bar baz qux' | truncate(11) }}|{{ 'foo bar baz qux' | truncate(11, False, '...', 0) }}
{{ d | tojson }}|{{ mixed | tojson }}|{{ quotes | tojson }}|{{ uni | tojson }}|{{ uni | tojson(ensure_ascii=true) }}|{{ '<&>\'' | tojson }}|{{ 1.0 | tojson }}|{{ none | tojson }}|{{ (1, 2) | tojson }}|{{ '\x7f\x01\b\f' | tojson }}|{{ 1e400 | tojson if no else '' }}
{{ d | tojson(indent=2) }}|{{ [] | tojson(indent=2) }}|{{ {} | tojson(indent=2) }}|{{ [[], {}, [1]] | tojson(indent=4) }}|{{ [1] | tojson(indent='--') }}|{{ [1, 2] | tojson(indent=0) }}
{{ d | tojson(sort_keys=true) }}|{{ d | tojson(separators=(',', ':')) }}|{{ d | tojson(separators=(',', ':'), indent=1) }}|{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}|{{ tool | tojson }}|{{ tool | tojson(indent=4) }}
{{ big }}|{{ big + 1 }}|{{ big | tojson }}|{{ [1e20, 1e-9, -0.0] | tojson }}
{{ s is defined }}|{{ nothing is defined }}|{{ nothing is undefined }}|{{ d.x is defined }}|{{ d.b is defined }}|{{ nothing is not defined }}
{{ none is none }}|{{ 0 is none }}|{{ nothing is none }}|{{ s is string }}|{{ 1 is string }}|{{ 1 is number }}|{{ 1.5 is number }}|{{ true is number }}|{{ 's' is number }}
{{ 1 is integer }}|{{ 1.0 is integer }}|{{ true is integer }}|{{ 1.0 is float }}|{{ 1 is float }}|{{ true is boolean }}|{{ 1 is boolean }}|{{ true is true }}|{{ 1 is true }}|{{ false is false }}|{{ 0 is false }}
{{ d is mapping }}|{{ nums is mapping }}|{{ s is iterable }}|{{ 1 is iterable }}|{{ d is iterable }}|{{ nothing is iterable }}|{{ none is iterable }}|{{ s is sequence }}|{{ d is sequence }}|{{ 1 is sequence }}|{{ range(2) is sequence }}|{{ d.items() is sequence }}|{{ nothing is sequence }}
{{ 2 is even }}|{{ 3 is odd }}|{{ 6 is divisibleby 3 }}|{{ 6 is divisibleby(4) }}|{{ 1 is eq 1 }}|{{ 1 is equalto 2 }}|{{ 1 is ne 2 }}|{{ 1 is lt 2 }}|{{ 1 is le 1 }}|{{ 1 is gt 2 }}|{{ 2 is ge 2 }}|{{ 1 is in nums }}|{{ 'b' is in d }}|{{ 1 is greaterthan 0 }}|{{ 1 is not in nums }}
{{ range is callable }}|{{ s is callable }}|{{ s.upper is callable }}|{{ 'ab' is lower }}|{{ 'AB' is upper }}|{{ 'Ab' is lower }}|{{ none is sameas none }}|{{ 1 is sameas 1 }}|{{ 1 is sameas true }}|{{ nums is sameas nums }}|{{ 'upper' is filter }}|{{ 'zzz' is filter }}|{{ 'odd' is test }}
{{ s is string and nums is sequence }}|{{ s is string or x }}|{{ not s is string }}|{{ s is defined and s | length > 3 }}|{{ 1 + 1 is number }}|{{ 'a' if s is string else 'b' }}|{{ (s is string) ~ '!' }}
{{ s | length + 1 }}|{{ (s | upper) + '!' }}|{{ s | lower | upper | length * 2 }}|{{ -1 | abs }}|{{ s | first | lower in 'abch' }}|{{ nums | length == 3 and s | length == 11 }}
{% if yes %}A{% endif %}|{% if no %}A{% else %}B{% endif %}|{% if no %}A{% elif yes %}B{% else %}C{% endif %}|{% if no %}{% elif no %}{% endif %}|{% if [] %}A{% elif '' %}B{% elif 0.0 %}C{% elif {} %}D{% else %}E{% endif %}
{% for x in nums %}{{ x }}{% endfor %}|{% for x in 'abc' %}{{ x }}.{% endfor %}|{% for k in d %}{{ k }}{% endfor %}|{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}|{% for x in [] %}x{% else %}none{% endfor %}|{% for x in nothing %}x{% else %}none{% endfor %}|{% for x in range(3) %}{{ x }}{% endfor %}
{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in nums %}{{ loop.previtem if not loop.first else 'B' }}<{{ x }}>{{ loop.nextitem if not loop.last else 'E' }} {% endfor %}|{% for x in nums %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}
{% for x in nums %}{{ loop.cycle('a', 'b') }}{% endfor %}|{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}|{% for x in [1, 1] %}{% if loop.changed(x, 1) %}!{% endif %}{% endfor %}
{% for x in range(10) if x is odd %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}|{% for x in nums if x > 5 %}{{ x }}{% else %}empty{% endfor %}|{% for x in range(6) if x % 2 == 0 %}{{ loop.length }}{{ loop.revindex }}{{ loop.nextitem }} {% endfor %}
{% set ns = namespace(stop=false) %}{% for x in range(5) if not ns.stop %}{{ x }}{% if x == 2 %}{% set ns.stop = true %}{% endif %}{% endfor %}
{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}|{% for a in range(3) %}{% for b in range(3) %}{% if b == 1 %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}|{% for x in [1] %}{% break %}{% else %}e{% endfor %}
{% for a in [1, 2] %}{% set outer = loop %}{% for b in 'xy' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}|{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}|{% for x in 1, 2 %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in nums %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}|{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}|{% for q in nums %}{% set z = q %}{% endfor %}{{ z is defined }}{{ q is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}|{% set (a, b) = [3, 4] %}{{ a }}{{ b }}|{% set t = 1, 2 %}{{ t }}|{% set a = 1 if no else 2 %}{{ a }}
{% set ns = namespace(a=1, b=[]) %}{% for x in nums %}{% set ns.a = ns.a + x %}{% set ns.b = ns.b + [x] %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}{% set ns.c = 1 %}{{ ns.c }}{{ ns['a'] }}|{% set ns = namespace({'x': 1}, y=2) %}{{ ns.x }}{{ ns.y }}
{% set x %}a{{ 1 }}b{% endset %}{{ x }}|{% set x | upper | replace('A', 'z') %}a{{ s }}{% endset %}{{ x }}|{% set x %}{% set y = 5 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}|{% set ns = namespace() %}{% set ns.t %}in{% endset %}{{ ns.t }}
{% macro m(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m(b=1, a=0) }}{{ m() }}{{ m(*[7, 8]) }}{{ m(**{'a': 9}) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}|{% macro f(a) %}{{ a }}{{ varargs | length }}{% endmacro %}{{ f(1, 2, 3) }}|{% macro g(a, b=a) %}{{ b }}{% endmacro %}{{ g(4) }}|{{ g.name }}
{% macro fact(n) %}{{ n if n <= 1 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}|{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}|{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}|{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ m(1) }}{{ m(1) | length }}
{% macro box(t) %}<{{ t }}:{{ caller() }}>{% endmacro %}{% call box('a') %}in {{ s }}{% endcall %}|{% macro each(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}({{ x }}){% endcall %}
{% filter upper %}a{{ s }}b{% endfilter %}|{% filter replace('a', 'b') | upper %}aa{% endfilter %}|{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}|{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}|{% with a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}{% endwith %}
{% raw %}{{ x }} {% if %}{# c #}{% endraw %}|{%- raw -%}  a  {%- endraw -%}  |{% raw %}{%endraw%}|{# comment {{ x }} #}|{#- c -#}   x
{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S') }}|{{ strftime_now('%B %-d, %Y %A %j %%') }}|{{ strftime_now('') }}|{{ strftime_now('plain') }}
{{ raise_exception('own words') }}
{% if s %}{{ raise_exception('a ' ~ s ~ "'quoted'") }}{% endif %}
{% macro m() %}{{ raise_exception('from a macro') }}{% endmacro %}x{{ m() }}
{% set j = joiner('; ') %}{% for x in nums %}{{ j() }}{{ x }}{% endfor %}|{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{{ dict(a=1, b=2) }}|{{ dict([('x', 1)], y=2) }}|{{ dict({'a': 1}) }}|{{ dict() }}|{{ dict(d, z=1) | length }}|{{ {'a': 1, 'a': 2} }}
{{ ['a', 'b'][1] }}|{{ {'a': {'b': [1, 2]}}.a.b[-1] }}|{{ 'abc'.upper()[1:] }}|{{ (s | upper)[0] }}|{{ 'a b'.split()[0] }}|{{ ('a,b'.split(',') | last) }}|{{ "%s" % s.upper() }}|{{ [1, 2, 3][1:] | list }}|{{ s.split(' ')[0][0] }}
{{ (d.a or []) | length }}|{{ (nothing or []) | length }}|{{ messages[0].content | default('') | trim }}|{{ messages[2].content or '' }}|{{ messages[2].content is none }}|{{ messages[2].tool_calls[0].function.arguments | tojson }}|{{ messages[-1]['role'] }}|{{ messages[1:] | length }}|{{ messages | map(attribute='role') | join(',') }}|{{ (messages | last).role }}|{{ messages | selectattr('role', 'equalto', 'tool') | map(attribute='content') | first }}
{% generation %}a{{ s }}{% endgeneration %}|{% for x in nums %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}|{% generation %}{% set gx = 1 %}{% endgeneration %}{{ gx is defined }}
{% print 1 %}|{% print s, 2 %}|{{ 'a' if 1 is odd and 2 is even }}
{{ x.y if x is defined else 'none' }}|{{ x is defined and x.y }}|{{ not x }}|{{ x or 'y' }}|{{ [x] | length }}|{{ x ~ 'a' }}|{{ x == '' }}|{{ (x | default([])) + [1] }}
{{ true }}{{ True }}{{ false }}{{ False }}{{ none }}{{ None }}|{{ '%s' % true }}|{{ true | string }}|{{ true | tojson }}|{{ {'a': true} }}
{{ loop is defined }}|{% for x in [1] %}{{ loop is defined }}{% endfor %}
{{ 'é' | upper }}|{{ 'ÀÉ'.lower() }}|{{ 'éa' | capitalize }}|{{ 'ñandú' | title }}|{{ 'ǆ' | title }}|{{ 'Ω'.lower() }}|{{ '\u3000x\u00a0' | trim }}|{{ '\u2028x'.strip() | length }}
{{ [1, 2, 3] | last | string + 'x' }}|{{ nums | sort | join('<') }}|{{ nums | sort | first + 1 }}|{{ d.keys() | list | sort | join }}|{{ (d | length) ** 2 }}|{{ nums | map('float') | list }}|{{ ['1', '2'] | map('int') | sum }}
{{ none | selectattr('a') | list | length }}|{{ nothing | select | list }}|{{ 0 | map('upper') | list }}|{{ '' | rejectattr('a', 'eq', 1) | list }}|{{ none | reject | join }}|{{ {} | map(attribute='x') | list }}|{{ nil | select('nosuch') | list }}
{{ 'x' if yes else (s | nosuch) }}|{% if no %}{{ s | nosuch(1) | upper }}{% endif %}|{% if yes or s is nosuch %}y{% endif %}
{{ 'straße' | upper }}|{{ 'ŉ ﬁ ΐ ᾳ և ẖ'.upper() }}|{{ 'ẞß'.lower() }}|{{ 'ẞßﬁ'.casefold() }}|{{ 'ßa ﬁb ŉ ᾲ ǆ'.title() }}|{{ 'ﬂa' | capitalize }}|{{ 'İ'.lower() | length }}|{{ 'ßA'.swapcase() }}|{{ 'ßa' | title }}
{{ 'ΟΔΥΣΣΕΥΣ ΣΑΣ.Σ Σ ΑΣ1Α'.lower() }}|{{ 'ΑΣ ΣΑΣ' | title }}|{{ 'ΑΣ'.casefold() }}|{{ "ΑΣ'Α ΑΣ\u0301 ΑΣ\u0301Α".lower() }}|{{ 'ΑΣ' | capitalize }}|{{ 'ΑΣ'.swapcase() }}
{{ '²'.isdigit() }}|{{ '①⑨'.isdigit() }}|{{ '½'.isdigit() }}|{{ '²'.isdecimal() }}|{{ '²'.isnumeric() }}|{{ '²'.isalnum() }}
{{ vast | tojson }}|{{ vast }}|{{ [vast] }}|{{ vast ~ '' }}|{{ {'k': vast} | tojson }}
{{ strftime_now('%S.%f') }}
{{ '{"a": [1, 2.5, null, true], "b": {"c": "x"}}' | from_json }}|{{ ('{"a": {"b": 2}}' | from_json).a.b + 1 }}|{{ '[]' | from_json | length }}|{{ '"é"' | from_json }}
{{ strftime_now('[%z%Z]') }}
{{ 5 if 3 < i <= 7 else 6 }}|{{ i // 2 ~ ':' ~ i % 2 }}|{{ -i }}|{{ - i | abs }}|{{ 1 - -1 }}|{{ 1--1 }}|{{ 2*-3 }}|{{ +f }}|{{ f * 2 }}|{{ f // 1 }}|{{ 1e2 | int }}
'''.strip("\n").split("\n")

# Several lines, so that line ends and indentation count.
BLOCKS = [
    "a\n{% if yes %}\nb\n{% endif %}\nc\n",
    "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n\n",
    "a\n  {%- if yes %}\n  b\n  {%- endif %}\nc",
    "a\n  {%- if yes -%}\n  b\n  {%- endif -%}\nc",
    "a\n  {%+ if yes %}\n  b\n  {%+ endif %}\nc",
    "a\n{% if yes +%}\nb\n{% endif +%}\nc",
    "a {% if yes %} b {% endif %} c",
    "  {{ s }}  \n  {{- s }}\n{{ s -}}  \n x",
    "  {# c #}\na\n  {# c #}  \nb\n{#- c -#}\n d {#+ e +#}\nf",
    "{% for x in nums %}\n  - {{ x }}\n{% endfor %}\nend",
    "{% for x in nums -%}\n  - {{ x }}\n{% endfor %}\nend",
    "{%- for x in nums %}\n  - {{ x }}\n{%- endfor %}\nend",
    "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
    "x\r\ny\rz\n{% if yes %}\r\nq{% endif %}\r\n",
    "{{ 'a\nb' }}\n{{\n  s\n  | upper\n}}\n{%\n if yes\n%}\nt\n{%\nendif\n%}",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nq",
    "a\n  {% raw %}\n  x\n  {% endraw %}\n  b",
    "a\n  {%- raw %}\n  x\n  {%- endraw %}\n  b",
    "{% macro m(a) %}\n  [{{ a }}]\n{% endmacro %}\n{{ m(1) }}\n{{ m(2) }}",
    "{%- macro m(a) -%}\n  [{{ a }}]\n{%- endmacro -%}\n{{ m(1) }}\n{{ m(2) }}",
    "{% set x %}\n  text\n{% endset %}\n[{{ x }}]",
    "\t{% if yes %}\n\tb\n\t{% endif %}\n",
    "{% if yes %}a{% endif %}\n\n{% if yes %}b{% endif %}\n",
    "{% if yes %}{% endif %}  {% if yes %}\nx{% endif %}",
    "{{ s }}\n{% if yes %}\n{% if yes %}\n  deep\n{% endif %}\n{% endif %}\n",
    " {% set a = 1 %} {% set b = 2 %} {{ a }}{{ b }}",
    "x{% set a = 1 %}\ny{# c #}\nz{{ a }}\nw",
    "{%if yes%}a{%endif%}{{s}}{%-if yes-%} b {%-endif-%} ",
    "\u3000{% if yes %}\u00a0x\u00a0{%- endif %}",
    "{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': '}}'} }}{{ '%}' }}{{ '{{' }}{% set q = '%}' %}{{ q }}",
    "{ { % # } } {x} %} }} #}\n{",
    "{% filter indent(2) %}\na\nb\n{% endfilter %}\n.",
    "{% macro m2() %}\n<{{ caller(3) }}>\n{% endmacro %}\n{% call(x) m2() %}\n {{ x }}\n{% endcall %}\n",
]


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


class Generation(jinja2.ext.Extension):
    """{% generation %}: a body that is called once, as transformers does it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment(strftime_now=NOW.strftime):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "find", "arguments": {"q": "x \"y\"", "n": 3}}}
TOOLS = [
    {"type": "function", "function": {"name": "find", "description": "Finds \"things\".", "parameters": {
        "type": "object", "required": ["q"], "properties": {
            "q": {"type": "string", "description": "what to find"},
            "n": {"type": "integer", "default": 5},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "grid": {"type": "array", "items": {"type": "array", "items": {"type": "object", "properties": {
                "x": {"type": "number"}, "y": {"type": ["number", "null"]}}, "required": ["x"]}}},
            "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "any": {"oneOf": [{"type": "string", "description": "words"}, {"type": "number", "default": 1}]},
            "or": {"type": ["string", "integer"]},
        }}}},
    {"type": "function", "function": {"name": "now", "description": "Zeit – jetzt.", "parameters": {
        "type": "object", "properties": {}}}},
]
CONVERSATIONS = {
    "one": [{"role": "user", "content": "Hi there"}],
    "system": [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": " Grüße 😀 "}],
    "turns": [{"role": "user", "content": "a"},
              {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb", "reasoning_content": None},
              {"role": "user", "content": "c /nothink"}, {"role": "assistant", "content": "d", "thinking": "t"}],
    "tools": [{"role": "system", "content": "Use tools."}, {"role": "user", "content": "go"},
              {"role": "assistant", "content": None, "thinking": "need it", "reasoning_content": "need it",
               "tool_calls": [CALL, CALL]},
              {"role": "tool", "content": "{\"r\": 1}", "tool_call_id": "abcdefghi"},
              {"role": "tool", "content": "two", "tool_call_id": "abcdefghi"}],
    "tools_done": [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok", "tool_calls": [CALL]},
                   {"role": "tool", "content": "r", "tool_call_id": "abcdefghi"},
                   {"role": "assistant", "content": "done</think>x"}],
    "bad_id": [{"role": "user", "content": "go"},
               {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": CALL["function"]}]}],
    "tool_first": [{"role": "tool", "content": "r"}, {"role": "user", "content": "x"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}, {"type": "x"}]}],
    "parts_ok": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}]},
                 {"role": "assistant", "content": [{"type": "text", "text": "seen"}]}],
    "role": [{"role": "clown", "content": "x"}],
}
OPTIONS = {
    "gen": {"add_generation_prompt": True},
    "plain": {"add_generation_prompt": False},
    "tools": {"add_generation_prompt": True, "tools": TOOLS},
    "quiet": {"add_generation_prompt": True, "enable_thinking": False, "thinking": True, "effort": "high",
              "documents": [{"title": "a", "text": "b\nc"}, {"title": "d"}]},
}


def render_styles(env, folder):
    cases, failed = [], 0
    for path in sorted((folder / "styles").glob("*.jinja")):
        template = env.from_string(path.read_text())
        for name, messages in CONVERSATIONS.items():
            for option, variables in OPTIONS.items():
                case = {"template": path.name, "conversation": name, "options": option}
                try:
                    case["rendered"] = template.render(
                        messages=messages, bos_token="<s>", eos_token="</s>", **variables)
                except jinja2.exceptions.TemplateError as error:
                    if type(error) is jinja2.exceptions.TemplateError:
                        case["raised"] = str(error)
                    else:
                        case["fails"] = str(error)
                except TypeError as error:
                    case["fails"] = str(error)
                failed += "fails" in case
                cases.append(case)
    out = {"conversations": CONVERSATIONS, "options": OPTIONS, "cases": cases}
    (folder / "styles.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "cases of styles,", failed, "of them Python's own errors")


def main():
    env = environment()
    cases, skipped = [], []
    sources = [part for line in SNIPPETS for part in ([line] if "%}" in line else line.split("}}|"))]
    sources = [s if s.endswith("}") else s + "}}" for s in sources]
    for source in sources + BLOCKS:
        try:
            cases.append({"template": source, "rendered": env.from_string(source).render(**VARIABLES)})
        except jinja2.exceptions.TemplateError as error:
            if type(error) is jinja2.exceptions.TemplateError:
                cases.append({"template": source, "raised": str(error)})
            else:
                skipped.append((source, repr(error)))
        except Exception as error:
            skipped.append((source, repr(error)))
    for source, words in ERRORS:
        try:
            env.from_string(source).render(**VARIABLES)
            skipped.append((source, "renders"))
        except Exception:
            cases.append({"template": source, "error": words})
    folder = pathlib.Path(__file__).parent.parent / "tests/conformance/data/chat_templates"
    render_styles(env, folder)
    (folder / "snippets.json").write_text(json.dumps({"variables": VARIABLES, "snippets": cases}, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "snippets")
    for source, error in skipped:
        print("not in the table:", source, error)


if __name__ == "__main__":
    main()
