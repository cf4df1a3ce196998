// Libraries that come with the program (LINKED), or are loaded by it: the arguments are a library's path, a function without arguments in it
// that returns a text, and that text.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#ifdef LINKED
const char *waits(void);
#endif

typedef const char *function(void);

int main(int count, char **arguments) {
#ifdef LINKED
    function *call = waits;
    (void)count;
#else
    if (count != 4) return 2;
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    function *call = library ? (function *)dlsym(library, arguments[2]) : NULL;
    if (!call) return fprintf(stderr, "%s\n", dlerror()), 1;
#endif
    const char *text = call();
    if (!text || strcmp(text, arguments[3]) != 0) return fprintf(stderr, "%s\n", text ? text : "nothing"), 1;
    return 0;
}
