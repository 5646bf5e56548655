"""Checks a delivery as a receiver does, with the library of Standard Webhooks."""

import json
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

delivery = json.loads(os.environ["DELIVERY"])
event = Webhook(os.environ["SECRET"]).verify(delivery["body"].encode(), delivery["headers"])
assert event["type"] == "job.completed" and event["data"]["state"] == "completed", event

try:
    Webhook(os.environ["SECRET"]).verify(delivery["body"].replace("completed", "failed").encode(), delivery["headers"])
    raise AssertionError("a changed body was taken")
except WebhookVerificationError:
    pass
