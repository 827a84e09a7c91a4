# Writes a C++ file with the bytes of text files, and compiled_file(), which finds them by name:
#   cmake -D OUT=FILE.cpp -D "FILES=A;B" -P embed_files.cmake
set(delimiter "shortfall")
set(entries "")
foreach(file IN LISTS FILES)
  file(READ "${file}" text)
  file(SIZE "${file}" byte_count)
  string(LENGTH "${text}" length)
  string(FIND "${text}" ")${delimiter}\"" end)
  if(NOT length EQUAL byte_count OR NOT end EQUAL -1)
    message(FATAL_ERROR "${file} cannot be a raw literal: it is no text, or has its end in it")
  endif()
  get_filename_component(name "${file}" NAME)
  string(APPEND entries "    {\"${name}\", R\"${delimiter}(${text})${delimiter}\"sv},\n")
endforeach()
file(WRITE "${OUT}" "// Written by embed_files.cmake.
#include \"service/page_files.hpp\"

namespace shortfall::service {

using namespace std::string_view_literals;

std::string_view compiled_file(std::string_view name) {
  struct File {
    std::string_view name, bytes;
  };
  static constexpr File files[] = {
${entries}  };
  for (const File& file : files)
    if (file.name == name) return file.bytes;
  return {};
}

}  // namespace shortfall::service
")
