# Hashes, strings that grow, regular expressions, sorting, a fork and a pipe.
use strict;
use warnings;

my %count;
for my $file (qw(functions.c operators.cpp processes.c)) {
    open my $handle, '<', $file or die "$file: $!";
    while (my $line = <$handle>) {
        $count{$1}++ while $line =~ /(\w+)/g;
    }
}
my @words = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print scalar(@words), " @words[0 .. 20]\n";
my %nested;
push @{ $nested{ $_ % 100 }{ $_ % 7 } }, "item $_" for 1 .. 50000;
my $total = 0;
for my $outer (sort { $a <=> $b } keys %nested) {
    $total += scalar @{ $nested{$outer}{$_} } * ($_ + 1) for keys %{ $nested{$outer} };
    delete $nested{$outer} if $outer % 2;
}
print "$total ", scalar(keys %nested), "\n";
my $text = '';
$text .= chr(97 + $_ % 26) x ($_ % 300) for 1 .. 5000;
(my $changed = $text) =~ s/([aeiou]+)/length($1) . uc($1)/ge;
print length($text), ' ', length($changed), ' ', unpack('%32C*', $changed), "\n";
print join(',', map { sprintf '%x', $_ * 7919 % 65521 } 1 .. 40), "\n";
for my $round (1 .. 5) {
    my $child = open(my $from, '-|') // die "fork: $!";
    if (!$child) {
        print join ' ', map { $_ * $round } 1 .. 1000;
        exit 0;
    }
    my $line = <$from>;
    close $from or die "child: $?";
    print length($line), "\n";
}
print "end\n";
