# SPDX-License-Identifier: BSD-2-Clause
"""openapi.py - responses checked against an OpenAPI document, with as much of
JSON Schema as our document uses.  An unknown keyword is an error, so that
nothing is passed over in silence.

    contract = Contract(json.loads(text))
    contract.check("POST", "/v1/messages", 202, headers, body)

Checks are stricter than the document for what we return ourselves: a member
that no schema lists is a mistake of ours.
"""
import json
import re
import uuid
from datetime import datetime

ANNOTATIONS = {"description", "example", "examples", "default", "title",
               "contentEncoding", "summary"}
TYPES = {
    "object": dict, "array": list, "string": str, "null": type(None),
    "boolean": bool,
}


class Mismatch(AssertionError):
    pass


def _is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return (isinstance(value, (int, float))
                and not isinstance(value, bool))
    return isinstance(value, TYPES[name])


def _format(value, name):
    if name == "uuid":
        return str(uuid.UUID(value)) == value
    if name == "date-time":
        return (re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"
                             r"(Z|[+-]\d\d:\d\d)", value)
                and datetime.fromisoformat(value.replace("Z", "+00:00")))
    if name == "uri":
        return re.match(r"[a-z]+:", value)
    raise Mismatch("unknown format %s" % name)


class Contract:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].lstrip("#/").split("/"):
                target = target[part]
            node = target
        return node

    # ------------------------------------------------------------- schemas

    def members(self, schema):
        """Names that the schema lists, or None: any."""
        schema = self.resolve(schema)
        names = set(schema.get("properties", {}))
        for part in schema.get("allOf", ()):
            more = self.members(part)
            if more is None:
                return None
            names |= more
        return names if names else None

    def validate(self, value, schema, where="", strict=True):
        schema = self.resolve(schema)

        def fail(text):
            raise Mismatch("%s: %s: %.200s" % (where or "/", text,
                                               json.dumps(value)))
        for key, want in schema.items():
            if key in ANNOTATIONS:
                continue
            if key == "type":
                names = want if isinstance(want, list) else [want]
                if not any(_is_type(value, n) for n in names):
                    fail("is not %s" % want)
            elif key == "enum":
                if value not in want:
                    fail("is none of %s" % want)
            elif key == "const":
                if value != want:
                    fail("is not %r" % want)
            elif key == "required":
                for name in want:
                    if name not in value:
                        fail("has no %s" % name)
            elif key == "properties":
                for name, part in want.items():
                    if name in value:
                        self.validate(value[name], part,
                                      "%s/%s" % (where, name), strict)
            elif key == "additionalProperties":
                for name in set(value) - set(schema.get("properties", ())):
                    if want is False:
                        fail("has %s" % name)
                    elif want is not True:
                        self.validate(value[name], want,
                                      "%s/%s" % (where, name), strict)
            elif key == "items":
                for i, item in enumerate(value):
                    self.validate(item, want, "%s/%d" % (where, i), strict)
            elif key == "allOf":
                for part in want:
                    self.validate(value, part, where, False)
            elif key == "oneOf":
                fits, why = 0, []
                for part in want:
                    try:
                        self.validate(value, part, where, strict)
                        fits += 1
                    except Mismatch as e:
                        why.append(str(e))
                if fits != 1:
                    fail("fits %d of oneOf (%s)" % (fits, "; ".join(why)))
            elif key == "pattern":
                if isinstance(value, str) and not re.search(want, value):
                    fail("does not match %s" % want)
            elif key == "format":
                if isinstance(value, str) and not _format(value, want):
                    fail("is no %s" % want)
            elif key in ("minimum", "maximum"):
                if (isinstance(value, (int, float))
                        and (value < want if key == "minimum"
                             else value > want)):
                    fail("%s is %s" % (key, want))
            elif key in ("minLength", "minItems"):
                if len(value) < want:
                    fail("is shorter than %d" % want)
            elif key in ("maxLength", "maxItems", "maxProperties"):
                if len(value) > want:
                    fail("is longer than %d" % want)
            else:
                raise Mismatch("unknown keyword %s at %s" % (key, where))
        if strict and isinstance(value, dict):
            names = self.members(schema)
            if names is not None and "additionalProperties" not in schema:
                for name in set(value) - names:
                    fail("has %s, which no schema lists" % name)

    # ----------------------------------------------------------- operations

    def operation(self, method, path):
        path = path.split("?")[0]
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if (re.fullmatch(pattern, path) and method.lower() in item
                    and ("{" not in template
                         or path not in self.document["paths"])):
                return item[method.lower()]
        raise Mismatch("%s %s is not in the document" % (method, path))

    def check(self, method, path, status, headers, body):
        """headers: a dict, names in any case."""
        op = self.operation(method, path)
        if str(status) not in op["responses"]:
            raise Mismatch("%s %s: status %d is not in the document"
                           % (method, path, status))
        response = self.resolve(op["responses"][str(status)])
        names = {k.lower(): v for k, v in headers.items()}
        for name, header in response.get("headers", {}).items():
            value = names.get(name.lower())
            schema = self.resolve(header)["schema"]
            if value is None:
                if name in ("WWW-Authenticate", "Retry-After",
                            "X-Request-Id"):
                    raise Mismatch("%s %s %d: header %s is missing" % (
                        method, path, status, name))
                continue
            if schema.get("type") == "integer":
                value = int(value)
            self.validate(value, schema, "header " + name)
        type_ = names["content-type"].split(";")[0]
        if type_ not in response["content"]:
            raise Mismatch("%s %s %d: content type %s" % (method, path,
                                                         status, type_))
        data = json.loads(body)
        self.validate(data, response["content"][type_]["schema"])
        return data

    def check_examples(self):
        """The document's own examples, against its own schemas."""
        count = 0
        for path, item in self.document["paths"].items():
            for op in item.values():
                if not isinstance(op, dict):
                    continue
                places = [op.get("requestBody", {})]
                places += [self.resolve(r) for r in op["responses"].values()]
                for place in places:
                    for media in place.get("content", {}).values():
                        examples = [e["value"] for e in
                                    media.get("examples", {}).values()]
                        if "example" in media:
                            examples.append(media["example"])
                        for example in examples:
                            self.validate(example, media["schema"], path)
                            count += 1
        return count
