// All forms of operator new and delete: alignment, what is thrown and what is null, new handlers, and a program's own operators. Run with the
// library preloaded or linked.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <malloc.h>

#include "check.h"

using std::align_val_t;
using std::nothrow;
using std::size_t;

static volatile size_t too_much = PTRDIFF_MAX;
// What is not kept need not be asked for.
char *volatile kept;

static bool is_aligned(void *block, size_t align) { return reinterpret_cast<std::uintptr_t>(block) % align == 0; }

// What a form of new gave is written to, its alignment checked, and a form of delete gets it, which keeps errno.
static void round_trip(size_t size, size_t align, const std::function<void *()> &make, const std::function<void(void *)> &end) {
    void *block = make();
    CHECK(block && is_aligned(block, align));
    CHECK(malloc_usable_size(block) >= size);
    std::memset(block, 0x77, size);
    errno = 77;
    end(block);
    CHECK(errno == 77);
}

static void all_forms() {
    for (size_t size = 0; size < 200000; size = size * 3 + 1) {
        size_t align = size <= 8 ? 8 : 16;
        auto plain = [&](const std::function<void *()> &make) {
            round_trip(size, align, make, [](void *block) { ::operator delete(block); });
            round_trip(size, align, make, [&](void *block) { ::operator delete(block, size); });
            round_trip(size, align, make, [](void *block) { ::operator delete(block, nothrow); });
        };
        auto array = [&](const std::function<void *()> &make) {
            round_trip(size, align, make, [](void *block) { ::operator delete[](block); });
            round_trip(size, align, make, [&](void *block) { ::operator delete[](block, size); });
            round_trip(size, align, make, [](void *block) { ::operator delete[](block, nothrow); });
        };
        plain([&] { return ::operator new(size); });
        plain([&] { return ::operator new(size, nothrow); });
        array([&] { return ::operator new[](size); });
        array([&] { return ::operator new[](size, nothrow); });
        for (size_t power = 1; power <= 65536; power *= 4) {
            align_val_t at{power};
            auto aligned = [&](const std::function<void *()> &make) {
                round_trip(size, power, make, [&](void *block) { ::operator delete(block, at); });
                round_trip(size, power, make, [&](void *block) { ::operator delete(block, size, at); });
                round_trip(size, power, make, [&](void *block) { ::operator delete(block, at, nothrow); });
            };
            auto aligned_array = [&](const std::function<void *()> &make) {
                round_trip(size, power, make, [&](void *block) { ::operator delete[](block, at); });
                round_trip(size, power, make, [&](void *block) { ::operator delete[](block, size, at); });
                round_trip(size, power, make, [&](void *block) { ::operator delete[](block, at, nothrow); });
            };
            aligned([&] { return ::operator new(size, at); });
            aligned([&] { return ::operator new(size, at, nothrow); });
            aligned_array([&] { return ::operator new[](size, at); });
            aligned_array([&] { return ::operator new[](size, at, nothrow); });
        }
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, size_t(5));
    ::operator delete(nullptr, align_val_t{64});
}

template <typename Exception, typename Call>
static void throws(Call call) {
    bool caught = false;
    try {
        call();
    } catch (const Exception &) {
        caught = true;
    }
    CHECK(caught);
}

static int handled;

static void five_times() {
    if (++handled == 5) std::set_new_handler(nullptr);
}
static void something_else() {
    handled++;
    throw std::runtime_error("out of patience");
}
struct OutOfPatience : std::bad_alloc {};
static void out_of_patience() {
    handled++;
    throw OutOfPatience();
}

// A frame with a destructor that an exception has to run.
struct Counted {
    static int alive;
    Counted() { alive++; }
    ~Counted() { alive--; }
};
int Counted::alive;

static void refusals() {
    const align_val_t at{64};
    throws<std::bad_alloc>([] {
        Counted counted;
        return ::operator new(too_much);
    });
    CHECK(Counted::alive == 0);
    throws<std::bad_alloc>([] { return ::operator new[](too_much); });
    throws<std::bad_alloc>([&] { return ::operator new(too_much, at); });
    throws<std::bad_alloc>([&] { return ::operator new[](too_much, at); });
    throws<std::bad_alloc>([] { kept = new char[too_much]; });
    CHECK(::operator new(too_much, nothrow) == nullptr && ::operator new[](too_much, nothrow) == nullptr);
    CHECK(::operator new(too_much, at, nothrow) == nullptr && ::operator new[](too_much, at, nothrow) == nullptr);

    // A handler is called again and again until there is none.
    std::set_new_handler(five_times);
    throws<std::bad_alloc>([] { return ::operator new(too_much); });
    CHECK(handled == 5 && std::get_new_handler() == nullptr);
    handled = 0;
    std::set_new_handler(five_times);
    CHECK(::operator new[](too_much, at, nothrow) == nullptr);
    CHECK(handled == 5);

    // What a handler throws arrives.
    handled = 0;
    std::set_new_handler(out_of_patience);
    throws<OutOfPatience>([&] { return ::operator new[](too_much, at); });
    CHECK(::operator new(too_much, nothrow) == nullptr);
    CHECK(handled == 2);
    std::set_new_handler(something_else);
    throws<std::runtime_error>([] { return ::operator new(too_much); });
    std::set_new_handler(nullptr);
}

struct alignas(256) Wide {
    char bytes[300];
};
struct Base {
    virtual ~Base() = default;
    int number = 1;
};
struct Derived : Base {
    std::string text = "a text that is too long for the string itself";
};

static void containers() {
    std::map<int, std::unique_ptr<Base>> objects;
    std::vector<std::thread> threads;
    for (int index = 0; index < 1000; index++) objects.emplace(index, std::make_unique<Derived>());
    for (int index = 0; index < 4; index++) {
        threads.emplace_back([] {
            std::vector<std::shared_ptr<Wide>> wide;
            for (int round = 0; round < 1000; round++) {
                wide.push_back(std::make_shared<Wide>());
                CHECK(is_aligned(wide.back().get(), 256));
                if (round % 3 == 0) wide.erase(wide.begin());
            }
        });
    }
    for (auto &thread : threads) thread.join();
    auto vector = std::make_unique<std::vector<std::string>>(1000, "text that is longer than sixteen bytes");
    objects.clear();
}

#ifdef OWN_OPERATORS
// A program that replaces two operators: all that lead to them must, or blocks would be freed that nobody allocated.
static const size_t HEADER = 32;
static std::atomic<size_t> made, ended;

void *operator new(size_t size) {
    char *block = static_cast<char *>(std::malloc(size + HEADER));
    if (!block) throw std::bad_alloc();
    made++;
    return block + HEADER;
}
void operator delete(void *block) noexcept {
    if (block) {
        ended++;
        std::free(static_cast<char *>(block) - HEADER);
    }
}

int main() {
    size_t before = made;
    ::operator delete(::operator new(10), size_t(10));
    ::operator delete[](::operator new[](10));
    ::operator delete[](::operator new[](10), size_t(10));
    ::operator delete(::operator new(10, nothrow), nothrow);
    ::operator delete[](::operator new[](10, nothrow), nothrow);
    CHECK(made - before == 5 && ended == made);
    containers();
    CHECK(ended == made);
    CHECK(malloc_usable_size(malloc(1)) == 8);
    std::puts("own operators as they should be");
}
#else
int main() {
    // Nobody else's smallest block.
    void *smallest = ::operator new(1);
    CHECK(malloc_usable_size(smallest) == 8);
    ::operator delete(smallest);
    all_forms();
    refusals();
    containers();
    std::puts("all operators as they should be");
}
#endif
