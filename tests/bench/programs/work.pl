# Words in hashes of arrays, joined and split again.
use strict;
use warnings;

my %index;
for my $turn (1 .. 250_000) {
    my $word = "key" . ($turn * 7919 % 50_021);
    push @{ $index{ substr($word, 0, 6) }{$word} }, $turn;
}
my $text = join "\n", map { my $group = $_; map { "$group $_ @{ $index{$group}{$_} }" } sort keys %{ $index{$group} } } sort keys %index;
my $count = 0;
for my $line (split /\n/, $text) {
    my ($group, $word, @turns) = split / /, $line;
    $count += @turns;
    $line =~ s/(\d+)/<$1>/g;
}
die "lost some" if $count != 250_000;
