//! The fleet's controller: REST API, web page, jobs, enrolment, audit.
