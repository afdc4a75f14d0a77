"""Is this delivery authentic, to the Standard Webhooks package?

usage: python verify.py SECRET FILE    a JSON file of a delivery's body and headers
"""

import json
import sys

from standardwebhooks.webhooks import Webhook

secret, file = sys.argv[1:]
with open(file, encoding="utf-8") as delivery:
    delivery = json.load(delivery)
print(Webhook(secret).verify(delivery["body"], delivery["headers"])["type"])
