// Pairs of malloc and free, as many as the argument says.

#include <stdlib.h>

int main(int argc, char **argv) {
    for (long pairs = argc > 1 ? atol(argv[1]) : 0; pairs > 0; pairs--)
        free(malloc(48));
    return 0;
}
