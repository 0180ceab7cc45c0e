//! One host's agent: takes signed jobs, performs them, answers.
