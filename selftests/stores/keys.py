#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
The sources of temporary keys: the instance metadata service, version 2, and the token
service.

usage: keys.py PORT ACCESS SECRET LIFETIME LOG

It answers with these keys, which expire LIFETIME seconds later, and adds a line to LOG
for each answer: "instance" or "identity ROLE TOKEN". An instance is asked for a session
first, and the request for its keys must have it.
"""
import datetime
import http.server
import json
import sys
import urllib.parse

port, access, secret, lifetime, log = sys.argv[1:]
SESSION = "the-session"
PATH = "/latest/meta-data/iam/security-credentials/"
XML = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken></SessionToken>
<Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


def expiration():
    when = datetime.datetime.utcnow() + datetime.timedelta(seconds=int(lifetime))
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def note(text):
    with open(log, "a") as f:
        f.write(text + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        wanted = "X-aws-ec2-metadata-token-ttl-seconds"
        good = self.path == "/latest/api/token" and self.headers[wanted]
        self.answer(200 if good else 400, SESSION)

    def do_GET(self):
        if self.headers["X-aws-ec2-metadata-token"] != SESSION:
            self.answer(401)
        elif self.path == PATH:
            self.answer(200, "the-role")
        elif self.path == PATH + "the-role":
            note("instance")
            self.answer(200, json.dumps({
                "AccessKeyId": access, "SecretAccessKey": secret, "Token": "",
                "Expiration": expiration()}))
        else:
            self.answer(404)

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("Action") != ["AssumeRoleWithWebIdentity"]:
            self.answer(400)
            return
        note("identity %s %s" % (form["RoleArn"][0], form["WebIdentityToken"][0]))
        self.answer(200, XML.format(access, secret, expiration()))

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
print("ready", flush=True)
server.serve_forever()
