#!/bin/sh
# Makes a git repository in the folder $1: 400 commits that change five of 60 files each.
set -e
rm -rf "$1"
git init -q "$1"
awk 'BEGIN {
    for (commit = 1; commit <= 400; commit++) {
        print "commit refs/heads/main\ncommitter A <a@b> " 1600000000 + commit * 60 " +0000\ndata 6\nchange"
        for (change = 0; change < 5; change++) {
            file = (commit * 7 + change * 13) % 60
            text = ""
            for (line = 0; line < 80; line++)
                text = text "line " (line * commit * (change + 1)) % 997 " of file " file " " (line % 7 == commit % 7 ? commit : 0) "\n"
            print "M 100644 inline folder" file % 5 "/file" file ".txt\ndata " length(text) "\n" text
        }
    }
}' | git -C "$1" fast-import --quiet
