# Counts words in lines that it makes itself, and sorts what it counted.
BEGIN {
    for (line = 1; line <= 60000; line++) {
        text = ""
        for (word = 1; word <= 8; word++)
            text = text " w" ((line * 31 + word * word * 17) % 20011)
        count = split(text, words, " ")
        for (word = 1; word <= count; word++) {
            counts[words[word]]++
            last[words[word], word] = line
        }
    }
    size = asorti(counts, sorted)
    for (place = 1; place <= size; place++)
        total += counts[sorted[place]]
    if (total != 480000)
        exit 1
}
