-- The rules of the package are not loaded; only the search path for its own libraries.
require "global_functions"()
