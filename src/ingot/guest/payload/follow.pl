# perl - NUMBER PATH [NUMBER PATH...]
# Copies files as they grow, from their beginning, until it is ended. One may not be there yet, be replaced or be emptied.
# Each piece comes behind its file's NUMBER and its length, 32 bits each, the highest first. Given to perl on its standard
# input, and one process for all files: commands that can run at once are few in virtual machines.
use strict;
use warnings;
use Fcntl;

my @followed;
while (my ($number, $path) = splice(@ARGV, 0, 2)) {
    push(@followed, { number => $number, path => $path, known => "", at => 0 });
}

# The next bytes of a file; none where there are none yet.
sub piece {
    my ($one) = @_;
    my $file = $one->{file} or return "";
    $one->{at} = sysseek($file, 0, 0) + 0 if -s $file < $one->{at};
    my $count = sysread($file, my $bytes, 65536) // return "";
    $one->{at} += $count;
    return $bytes;
}

# Opens what is at the path now. The one before is read to its end.
sub renew {
    my ($one) = @_;
    my ($device, $inode) = stat($one->{path});
    return if !-f _ || "$device $inode" eq $one->{known};
    sysopen(my $file, $one->{path}, O_RDONLY | O_NONBLOCK) or return;
    $one->{known} = join(" ", (stat($file))[0, 1]);
    @$one{qw(file at)} = ($file, 0);
}

sub give {
    my ($bytes) = @_;
    while (length $bytes) {
        my $count = syswrite(STDOUT, $bytes) // exit(1);
        substr($bytes, 0, $count, "");
    }
}

while (1) {
    my $passed = 0;
    for my $one (@followed) {
        my $bytes = piece($one);
        if (length $bytes) {
            give(pack("NN", $one->{number}, length $bytes) . $bytes);
            $passed = 1;
        }
        else { renew($one) }
    }
    select(undef, undef, undef, 0.1) if !$passed;
}
