// A C++ library for a program that has no C++ library before it loads this one: requests that cannot be served throw, and the new handler is
// called.
#include <cstddef>
#include <new>
#include <stdexcept>
#include <vector>

static volatile std::size_t too_much = PTRDIFF_MAX;
static int handled;

static void handler() {
    if (++handled == 3) std::set_new_handler(nullptr);
}

template <class Request> static bool throws(Request request) {
    try {
        request();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

extern "C" const char *is_thrown() {
    if (!throws([] { delete[] new char[too_much]; })) return "new[] does not throw";
    if (!throws([] { ::operator delete(::operator new(too_much)); })) return "new does not throw";
    if (!throws([] { ::operator delete(::operator new(too_much, std::align_val_t{64}), std::align_val_t{64}); })) return "aligned new does not throw";
    if (::operator new(too_much, std::nothrow)) return "new(nothrow) is not null";
    try {
        std::vector<char>().resize(too_much - 10);
        return "a vector has it";
    } catch (const std::exception &) {
    }
    std::set_new_handler(handler);
    if (!throws([] { ::operator delete(::operator new(too_much)); })) return "new with a handler does not throw";
    if (handled != 3) return "the handler is not called";
    return "thrown and caught";
}
