"""Records in dictionaries, sorted, written as JSON and read again; the objects come from malloc."""
import json

words = [f"word{i * 7919 % 100_003}" for i in range(60_000)]
records = [{"id": i, "name": w, "tags": [w[:3], w[-3:]], "score": i * 0.5} for i, w in enumerate(words)]
index = {}
for record in records:
    index.setdefault(record["name"][:6], []).append(record)
records.sort(key=lambda record: (record["name"], record["id"]))
text = json.dumps(records)
again = json.loads(text)
assert again == records and len(index) > 50


class Node:
    def __init__(self, depth):
        self.children = [Node(depth - 1) for _ in range(3)] if depth else []

    def count(self):
        return 1 + sum(child.count() for child in self.children)


for _ in range(4):
    assert Node(8).count() == 9841
