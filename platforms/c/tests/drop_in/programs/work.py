# Many small objects, threads that hand them on, processes, big buffers, C libraries.
import collections, hashlib, json, queue, re, subprocess, sys, threading, zlib

table = {}
for number in range(60000):
    table[f"key {number}"] = {"number": number, "square": number * number, "text": "x" * (number % 50)}
for number in range(0, 60000, 3):
    del table[f"key {number}"]
text = json.dumps(table, sort_keys=True)
print(len(table), len(text), hashlib.sha256(text.encode()).hexdigest())
assert json.loads(text) == table
packed = zlib.compress(text.encode(), 6)
assert zlib.decompress(packed).decode() == text
print(sum(map(len, re.findall(r"[a-z]+ \d+", text))))

handed = queue.Queue(100)
results = []

def make(seed):
    for number in range(3000):
        handed.put([seed, number, bytes(number % 700), {number: str(number)}])
    handed.put(None)

def take():
    total, left = 0, 4
    while left:
        item = handed.get()
        if item is None:
            left -= 1
        else:
            total += item[0] * item[1] + len(item[2]) + len(item[3][item[1]])
    results.append(total)

threads = [threading.Thread(target=make, args=(seed,)) for seed in range(4)] + [threading.Thread(target=take)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results)

for size in (1, 1000, 1000000, 50000000):
    buffer = bytearray(size)
    assert not any(buffer[:: max(1, size // 1000)])
    buffer.extend(b"abc" * size)
    print(len(buffer), zlib.crc32(buffer[-size:]))

running = []
for number in range(8):
    command = [sys.executable, "-c", f"print(sum(len(str(n)) for n in range({number} * 1000)))"]
    running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
print([process.communicate()[0].strip() for process in running])
print(subprocess.run("echo $((6 * 7)) | cat", shell=True, capture_output=True, text=True).stdout.strip())
print(collections.Counter(text).most_common(5))
print("end")
