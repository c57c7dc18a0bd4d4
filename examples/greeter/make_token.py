"""Signs a token for the example, with nothing but the standard library: python3 make_token.py USER [ROLE...]."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time

SECRET = os.environ.get("GREETER_TOKEN_SECRET", "for this example, and for nothing else")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, roles):
    claims = {"iss": "greeter-example", "aud": "greeter", "sub": user, "roles": roles, "exp": int(time.time()) + 3600}
    parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{base64url(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(token(sys.argv[1], sys.argv[2:]))
