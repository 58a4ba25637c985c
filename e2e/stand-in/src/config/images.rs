//! `spec.images`: what k0s deploys, and how it is pulled.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Images {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coredns: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeproxy: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    konnectivity: Option<Image>,
    /// Takes the place of every image's registry.
    #[serde(skip_serializing_if = "String::is_empty")]
    repository: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    default_pull_policy: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    pub image: String,
    pub version: String,
}

impl Images {
    /// Images of which only the pause image is known.
    pub fn with_pause(pause: Option<Image>) -> Self {
        Self {
            pause,
            ..Self::default()
        }
    }

    /// The pause image: what the file says, over the one that k0s v1.36 ships; so with the others.
    pub fn pause(&self) -> Image {
        self.image(self.pause.as_ref(), "quay.io/k0sproject/pause", "3.10.2-0")
    }

    pub fn core_dns(&self) -> String {
        let given = self.coredns.as_ref();
        self.image(given, "quay.io/k0sproject/coredns", "1.14.6-k0s.0")
            .reference()
    }

    pub fn kube_proxy(&self) -> String {
        let given = self.kubeproxy.as_ref();
        self.image(given, "quay.io/k0sproject/kube-proxy", "v1.36.3-1")
            .reference()
    }

    pub fn konnectivity_agent(&self) -> String {
        let (given, image) = (
            self.konnectivity.as_ref(),
            "quay.io/k0sproject/apiserver-network-proxy-agent",
        );
        self.image(given, image, "v0.36.0-k0s.0").reference()
    }

    pub fn pull_policy(&self) -> &str {
        match self.default_pull_policy.as_str() {
            "" => "IfNotPresent",
            given => given,
        }
    }

    fn image(&self, given: Option<&Image>, image: &str, version: &str) -> Image {
        let or = |given: Option<&String>, default: &str| match given {
            Some(given) if !given.is_empty() => given.clone(),
            _ => default.to_owned(),
        };
        Image {
            image: self.in_repository(or(given.map(|given| &given.image), image)),
            version: or(given.map(|given| &given.version), version),
        }
    }

    fn in_repository(&self, image: String) -> String {
        if self.repository.is_empty() || image.starts_with(&self.repository) {
            return image;
        }
        let registry = image
            .split_once('/')
            .filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
        let path = registry.map_or(image.as_str(), |(_, path)| path);
        format!("{}/{path}", self.repository)
    }
}

impl Image {
    pub fn reference(&self) -> String {
        format!("{}:{}", self.image, self.version)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_files_words_over_the_release_and_the_repository_over_both() {
        let images = |value: Value| serde_json::from_value::<Images>(value).unwrap();
        assert_eq!(
            images(json!({})).core_dns(),
            "quay.io/k0sproject/coredns:1.14.6-k0s.0"
        );
        let given = images(json!({"coredns": {"version": "1"}, "default_pull_policy": "Never"}));
        assert_eq!(given.core_dns(), "quay.io/k0sproject/coredns:1");
        assert_eq!(given.pull_policy(), "Never");
        let mirrored =
            images(json!({"repository": "mirror.example:5000", "kubeproxy": {"image": "own/proxy"}}));
        assert_eq!(
            mirrored.pause().reference(),
            "mirror.example:5000/k0sproject/pause:3.10.2-0"
        );
        assert_eq!(mirrored.kube_proxy(), "mirror.example:5000/own/proxy:v1.36.3-1");
    }
}
