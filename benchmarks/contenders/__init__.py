"""The contenders: one module for each library, written as an expert in that library would write it."""
