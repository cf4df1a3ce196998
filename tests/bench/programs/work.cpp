// Little code, many headers, and templates that must be made.
#include <algorithm>
#include <cctype>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

template <int N> struct Table {
    std::map<int, std::vector<std::string>> rows;
    std::function<int(int)> twice = [](int x) { return N * x; };
    int run() {
        for (int i = 0; i < N; i++) rows[i].push_back(std::to_string(twice(i)));
        return static_cast<int>(rows.size()) + Table<N - 1>().run();
    }
};
template <> struct Table<0> {
    int run() { return 0; }
};

int main(int count, char** words) {
    std::unordered_map<std::string, std::shared_ptr<std::ostringstream>> streams;
    for (int i = 0; i < count; i++)
        if (std::isalpha(words[i][0])) streams[words[i]] = std::make_shared<std::ostringstream>();
    std::cout << streams.size() << Table<12>().run() << '\n';
}
