module pgstore/languages

go 1.24
