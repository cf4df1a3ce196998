# Pipes, subshells, arrays, functions and many short processes.
declare -A words
while read -r word; do words[$word]=$((${words[$word]:-0} + 1)); done < <(tr -cs 'a-z' '\n' < processes.c | sort)
for word in "${!words[@]}"; do echo "$word ${words[$word]}"; done | sort -k2,2nr -k1,1 | head -n 20
text=
for ((i = 0; i < 2000; i++)); do text+="line $i of a text that grows;"; done
echo ${#text} "$(echo "$text" | cksum)"
twice() { if (($1 > 0)); then echo "$(twice $(($1 - 1)))$1"; fi; }
twice 15
for i in {1..40}; do (echo "$i" | sed 's/^/a/' | cat) & done | sort | tr '\n' ' '
wait
ls -1 | sort | head -n 3
find . -name '*.c' -exec wc -c {} + | sort
echo end
