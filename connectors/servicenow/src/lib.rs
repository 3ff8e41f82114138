//! The ServiceNow connector of Syncline.
