"""A FHIR server that allows only what every R4 server has to allow, and fails when a test says so."""
