"""The conformance suite against the OAuth service, with a person who logs in when the suite asks for it.

Usage: conformance.py NODE SUITE ISSUER RESOURCE PORT. Registers a client, prints what the suite prints, ends as it ends.
"""

import json
import re
import subprocess
import sys
import urllib.request

from visit import Person

node, suite, issuer, resource, port = sys.argv[1:]
callback = f"http://127.0.0.1:{port}/callback"
registration = urllib.request.Request(
    f"{issuer}/register",
    json.dumps({"client_name": "Conformance suite", "redirect_uris": [callback], "token_endpoint_auth_method": "none"}).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(registration, timeout=30) as answer:
    client_id = json.load(answer)["client_id"]

words = [node, suite, "authorization", "--url", issuer, "--client-id", client_id, "--port", port, "--resource", resource]
address = None
with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
    try:
        for line in running.stdout:
            print(line, end="", flush=True)
            found = re.search(rf"{re.escape(issuer)}/authorize\?\S+", line)
            address = found.group() if found else address
            if line.startswith("Callback server started"):
                # The suite says where to go before it listens for who comes back.
                with urllib.request.urlopen(Person().visit(address, callback), timeout=30):
                    pass
    except BaseException:
        running.kill()
        raise
sys.exit(running.returncode)
