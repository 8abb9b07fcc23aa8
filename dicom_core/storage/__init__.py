"""The ports, implemented: blobs and tables in an Azure Storage account, and memory."""
